//! A store as Xen's docs/misc/xenstore.txt describes it, small and honest.

use crate::xenstore::hostile::{LONGEST, Message};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

/// The domain whose store it is; relative paths are below this.
const HOME: &str = "/local/domain/5";

#[derive(Clone, Debug, Default)]
struct Node {
    value: Vec<u8>,
    permissions: Vec<u8>,
    generation: u64,
}

/// Nodes by their absolute paths.
type Tree = BTreeMap<String, Node>;

#[derive(Debug)]
struct Transaction {
    tree: Tree,
    /// The store's generation when it began.
    began: u64,
    changed: BTreeSet<String>,
}

/// A watch, as it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Registered {
    pub(crate) path: String,
    pub(crate) token: String,
}

/// The names of error numbers.
type Failed = &'static str;

/// Something that happens to the store.
type Happening = Box<dyn FnMut(&mut Model)>;

#[derive(Default)]
pub(crate) struct Model {
    tree: Tree,
    /// Counts changes.
    generation: u64,
    transactions: BTreeMap<u32, Transaction>,
    last_transaction: u32,
    pub(crate) watches: Vec<Registered>,
    /// Answers `EAGAIN` to the end of every transaction.
    pub(crate) always_again: bool,
    /// Happens whenever a part of a directory was read.
    pub(crate) after_part: Option<Happening>,
}

impl Model {
    /// Sets a key as the toolstack would; returns the events of it.
    pub(crate) fn set(&mut self, path: &str, value: &str) -> Vec<Message> {
        let path = absolute(path);
        write(&mut self.tree, &path, value.as_bytes(), self.generation);
        self.changed(&[path].into())
    }

    /// Removes a key as the toolstack would.
    pub(crate) fn delete(&mut self, path: &str) {
        let path = absolute(path);
        remove(&mut self.tree, &path, self.generation).expect("there is something above it");
        self.changed(&[path].into());
    }

    /// Returns a value.
    pub(crate) fn get(&self, path: &str) -> Option<&[u8]> {
        self.tree.get(&absolute(path)).map(|node| &node.value[..])
    }

    /// Returns how many transactions are open.
    pub(crate) fn open_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Does what a request asks for; returns the answer, and after it the events.
    pub(crate) fn handle(&mut self, request: &Message) -> Vec<Message> {
        assert!(request.payload.len() <= LONGEST);
        let mut events = Vec::new();
        let answer = match self.perform(request, &mut events) {
            Ok(payload) if payload.len() > LONGEST => request.error("E2BIG"),
            Ok(payload) => request.answer(payload),
            Err(name) => request.error(name),
        };
        events.insert(0, answer);
        events
    }

    fn perform(&mut self, it: &Message, events: &mut Vec<Message>) -> Result<Vec<u8>, Failed> {
        match it.kind {
            4 => self.watch(it, events)?,
            5 => self.unwatch(it)?,
            6 => {
                assert_eq!((it.transaction, &it.payload[..]), (0, &b"\0"[..]));
                return Ok(self.begin());
            }
            7 => *events = self.finish(it)?,
            _ => return self.access(it, events),
        }
        Ok(b"OK\0".into())
    }

    fn begin(&mut self) -> Vec<u8> {
        self.last_transaction += 1;
        let transaction = Transaction {
            tree: self.tree.clone(),
            began: self.generation,
            changed: BTreeSet::new(),
        };
        self.transactions.insert(self.last_transaction, transaction);
        format!("{}\0", self.last_transaction).into()
    }

    fn finish(&mut self, it: &Message) -> Result<Vec<Message>, Failed> {
        let transaction = self.transactions.remove(&it.transaction).ok_or("ENOENT")?;
        match &it.payload[..] {
            b"F\0" => Ok(Vec::new()),
            b"T\0" if self.always_again || self.generation != transaction.began => Err("EAGAIN"),
            b"T\0" => {
                self.tree = transaction.tree;
                Ok(self.changed(&transaction.changed))
            }
            _ => Err("EINVAL"),
        }
    }

    /// Counts changes, and returns their events.
    fn changed(&mut self, paths: &BTreeSet<String>) -> Vec<Message> {
        self.generation += paths.len() as u64;
        let mut events = Vec::new();
        for watch in &self.watches {
            let root = absolute(&watch.path);
            for path in paths {
                let relative = || path[HOME.len() + 1..].to_string();
                let told = match (watch.path.starts_with('/'), is_below(path, &root)) {
                    (true, true) => path.clone(),
                    (false, true) => relative(),
                    // A key that is gone takes those below it along.
                    _ if is_below(&root, path) && !self.tree.contains_key(path) => {
                        watch.path.clone()
                    }
                    _ => continue,
                };
                events.push(Message::event(&told, &watch.token));
            }
        }
        events
    }

    fn watch(&mut self, it: &Message, events: &mut Vec<Message>) -> Result<(), Failed> {
        let watch = registered(it)?;
        if self.watches.contains(&watch) {
            return Err("EEXIST");
        }
        // "Triggered once straight away".
        events.push(Message::event(&watch.path, &watch.token));
        self.watches.push(watch);
        Ok(())
    }

    fn unwatch(&mut self, it: &Message) -> Result<(), Failed> {
        let watch = registered(it)?;
        let place = self.watches.iter().position(|known| *known == watch);
        self.watches.remove(place.ok_or("ENOENT")?);
        Ok(())
    }

    /// Reads or changes keys, in a transaction or not.
    fn access(&mut self, it: &Message, events: &mut Vec<Message>) -> Result<Vec<u8>, Failed> {
        let generation = self.generation;
        if it.transaction == 0 {
            let mut changed = BTreeSet::new();
            let answer = access(&mut self.tree, it, generation, &mut changed)?;
            *events = self.changed(&changed);
            self.disturb(it);
            return Ok(answer);
        }
        let transaction = self.transactions.get_mut(&it.transaction).ok_or("ENOENT")?;
        let Transaction { tree, changed, .. } = transaction;
        access(tree, it, generation, changed)
    }

    /// Lets something happen between two reads of a directory's parts.
    fn disturb(&mut self, it: &Message) {
        if let Some(mut happening) = self.after_part.take_if(|_| it.kind == 22) {
            happening(self);
            self.after_part = Some(happening);
        }
    }
}

/// Does one request with keys.
fn access(
    tree: &mut Tree,
    it: &Message,
    generation: u64,
    changed: &mut BTreeSet<String>,
) -> Result<Vec<u8>, Failed> {
    let end = it.payload.iter().position(|&byte| byte == 0);
    let (path, rest) = it.payload.split_at(end.ok_or("EINVAL")?);
    let path = absolute(core::str::from_utf8(path).map_err(|_| "EINVAL")?);
    let rest = &rest[1..];
    match it.kind {
        1 => return Ok(children(tree, find(tree, &path)?.0)),
        2 => return Ok(find(tree, &path)?.1.value.clone()),
        3 => return Ok(find(tree, &path)?.1.permissions.clone()),
        22 => return part(tree, &path, rest),
        11 => write(tree, &path, rest, generation),
        12 if tree.contains_key(&path) => return Ok(b"OK\0".into()),
        12 => write(tree, &path, b"", generation),
        13 => remove(tree, &path, generation)?,
        14 => tree.get_mut(&path).ok_or("ENOENT")?.permissions = rest.into(),
        _ => return Err("ENOSYS"),
    }
    changed.insert(path);
    Ok(b"OK\0".into())
}

fn find<'a>(tree: &'a Tree, path: &'a str) -> Result<(&'a str, &'a Node), Failed> {
    tree.get(path).map(|node| (path, node)).ok_or("ENOENT")
}

/// Returns the names of the keys below `path`, each with a zero byte.
fn children(tree: &Tree, path: &str) -> Vec<u8> {
    let below = if path == "/" {
        "/".into()
    } else {
        format!("{path}/")
    };
    let names = tree.keys().filter_map(|it| it.strip_prefix(&below));
    let leaves = names.filter(|it| !it.is_empty() && !it.contains('/'));
    let mut list = Vec::new();
    leaves.for_each(|it| list.extend_from_slice(format!("{it}\0").as_bytes()));
    list
}

/// `XS_DIRECTORY_PART`: the generation, then as many whole names as fit; after the last name, and
/// where the offset is beyond all of them, an empty one.
fn part(tree: &Tree, path: &str, offset: &[u8]) -> Result<Vec<u8>, Failed> {
    let (_, node) = find(tree, path)?;
    let offset = offset.strip_suffix(b"\0").ok_or("EINVAL")?;
    let offset = core::str::from_utf8(offset)
        .ok()
        .and_then(|it| it.parse().ok());
    let all = children(tree, path);
    let names = all.get(offset.ok_or("EINVAL")?..).unwrap_or_default();
    let mut answer: Vec<u8> = format!("{}\0", node.generation).into();
    for name in names.split_inclusive(|&byte| byte == 0) {
        if answer.len() + name.len() >= LONGEST {
            return Ok(answer);
        }
        answer.extend(name);
    }
    answer.push(0);
    Ok(answer)
}

fn write(tree: &mut Tree, path: &str, value: &[u8], generation: u64) {
    touch(tree, path, generation);
    tree.entry(path.into()).or_default().value = value.into();
}

/// Makes the keys above `path`, and notes that the list of names in the last has changed.
fn touch(tree: &mut Tree, path: &str, generation: u64) {
    let Some((above, _)) = path.rsplit_once('/').filter(|_| path != "/") else {
        return;
    };
    let above = if above.is_empty() { "/" } else { above };
    if !tree.contains_key(above) {
        touch(tree, above, generation);
    }
    tree.entry(above.into()).or_default().generation = generation + 1;
}

fn remove(tree: &mut Tree, path: &str, generation: u64) -> Result<(), Failed> {
    let above = path.rsplit_once('/').map_or("", |it| it.0);
    find(tree, if above.is_empty() { "/" } else { above })?;
    touch(tree, path, generation);
    tree.retain(|it, _| !is_below(it, path));
    Ok(())
}

/// Returns whether `path` is `root` or below it.
fn is_below(path: &str, root: &str) -> bool {
    let rest = path.strip_prefix(root);
    rest.is_some_and(|it| it.is_empty() || it.starts_with('/') || root == "/")
}

fn absolute(path: &str) -> String {
    match path.starts_with(['/', '@']) {
        true => path.into(),
        false => format!("{HOME}/{path}"),
    }
}

fn registered(it: &Message) -> Result<Registered, Failed> {
    let text = core::str::from_utf8(&it.payload).map_err(|_| "EINVAL")?;
    let mut parts = text.split('\0').map(String::from);
    let (Some(path), Some(token)) = (parts.next(), parts.next()) else {
        return Err("EINVAL");
    };
    Ok(Registered { path, token })
}
