//! Xenstore (`io/xs_wire.h`; Xen docs/misc/xenstore.txt): a tree of keys through which domains and
//! toolstack tell each other what there is.
//!
//! [`Xenstore::run`] moves the messages; it runs beside everything else, as a task or by
//! `select`. Requests are independent of each other: each has a number, and its answer is found by
//! it in whichever order answers come. What the store sends is checked: a message that fits nothing
//! is dropped and counted, one that breaks the framing ends the connection, and every request with
//! it, with an error.

mod connection;
mod error;
#[cfg(any(test, not(target_os = "none")))]
pub(crate) mod hostile;
mod wire;

pub(crate) use connection::{REQUESTS, RESPONSES};
pub use error::{Broken, Cause, NoStore, PathError, StoreError};

use crate::{DomainId, events::EventChannels};
use alloc::{format, rc::Rc, string::String, vec::Vec};
use connection::Connection;
use core::{
    fmt::{self, Display},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
};
use futures_util::Stream;
pub(crate) use wire::HEADER;
use wire::{Kind, check_path, strings};

/// How often a transaction that met another is done again, and a directory that changed is read anew.
const ATTEMPTS: usize = 100;
/// Bytes of the names in a directory that are read, at most: the store can send parts without end.
const LONGEST_DIRECTORY: usize = 256 * 1024;

/// The store. Clones are handles of the same connection.
#[derive(Clone)]
pub struct Xenstore {
    connection: Rc<Connection>,
    /// 0 outside of one.
    transaction: u32,
}

impl fmt::Debug for Xenstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xenstore").finish_non_exhaustive()
    }
}

/// What a domain may do with a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission {
    /// The domain.
    pub domain: DomainId,
    /// May read the value.
    pub read: bool,
    /// May write the value.
    pub write: bool,
}

impl Xenstore {
    /// Connects to this domain's store, whose page Xen names in a parameter.
    ///
    /// # Errors
    /// [`NoStore`].
    ///
    /// # Safety
    /// 1. The page is mapped onto itself, as normal memory, for good.
    pub unsafe fn open(channels: &EventChannels) -> Result<Self, NoStore> {
        Ok(Self::on(Connection::open(channels)?))
    }

    fn on(connection: Rc<Connection>) -> Self {
        Self {
            connection,
            transaction: 0,
        }
    }

    /// Moves messages, for ever.
    pub async fn run(&self) {
        self.connection.run().await;
    }

    /// Returns how many messages of the store were dropped because they fit no request or watch.
    pub fn dropped(&self) -> u64 {
        self.connection.dropped()
    }

    async fn request(&self, kind: Kind, path: &str, rest: &[&[u8]]) -> Result<Vec<u8>, StoreError> {
        check(path)?;
        let parts = [&[path.as_bytes(), b"\0"], rest].concat();
        let answer = self
            .connection
            .request(kind, self.transaction, &parts)
            .await;
        answer.map_err(|cause| StoreError::new(path, cause))
    }

    /// Returns the value of a key, as bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_bytes(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.request(Kind::Read, path, &[]).await
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    /// [`StoreError`], with [`Cause::Value`] when it is not text.
    pub async fn read(&self, path: &str) -> Result<String, StoreError> {
        let bytes = self.read_bytes(path).await?;
        String::from_utf8(bytes).map_err(|_| StoreError::new(path, Cause::Value))
    }

    /// Returns the value of a key as a number or whatever else text can be.
    ///
    /// # Errors
    /// [`StoreError`], with [`Cause::Value`] when it cannot be that.
    pub async fn read_as<T: FromStr>(&self, path: &str) -> Result<T, StoreError> {
        let text = self.read(path).await?;
        let value = text.trim().parse();
        value.map_err(|_| StoreError::new(path, Cause::Value))
    }

    /// As [`Self::read_as`], but `None` when there is no such key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_as<T: FromStr>(&self, path: &str) -> Result<Option<T>, StoreError> {
        match self.read_as(path).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.cause == Cause::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets a key, making it and those above it where they are missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(&self, path: &str, value: impl Display) -> Result<(), StoreError> {
        let value = format!("{value}");
        let value = [value.as_bytes()];
        self.request(Kind::Write, path, &value).await.map(drop)
    }

    /// Makes a key without a value, unless it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make_directory(&self, path: &str) -> Result<(), StoreError> {
        self.request(Kind::MakeDirectory, path, &[]).await.map(drop)
    }

    /// Removes a key and everything below it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.request(Kind::Remove, path, &[]).await.map(drop)
    }

    /// Returns the names of the keys below one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let list = match self.request(Kind::Directory, path, &[]).await {
            // More than fits into one message.
            Err(error) if error.cause == Cause::NoSpace => self.long_directory(path).await?,
            other => other?,
        };
        owned_strings(path, &list)
    }

    /// Reads a directory that is longer than a message, anew when it changed meanwhile.
    async fn long_directory(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        for _ in 0..ATTEMPTS {
            if let Some(list) = self.directory_parts(path).await? {
                return Ok(list);
            }
        }
        Err(StoreError::new(path, Cause::Again))
    }

    /// Reads a directory part by part (`XS_DIRECTORY_PART`); `None` when it changed meanwhile.
    async fn directory_parts(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut list = Vec::new();
        let mut generation = None;
        while list.len() < LONGEST_DIRECTORY {
            let offset = format!("{}\0", list.len());
            let rest = [offset.as_bytes()];
            let answer = self.request(Kind::DirectoryPart, path, &rest).await?;
            let end = answer.iter().position(|&byte| byte == 0);
            let end = end.ok_or_else(|| StoreError::new(path, Cause::Malformed))?;
            let (now, part) = (&answer[..end], &answer[end + 1..]);
            if generation.get_or_insert_with(|| now.to_vec()) != now {
                return Ok(None);
            }
            list.extend_from_slice(part);
            // An empty name is the end of the list, and all of it when there are no others.
            if part.is_empty() || list == b"\0" || list.ends_with(b"\0\0") {
                list.pop();
                return Ok(Some(list));
            }
        }
        Err(StoreError::new(path, Cause::NoSpace))
    }

    /// Returns who may do what with a key: the first entry is the owner's, whose flags are those of
    /// every domain that is not listed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn permissions(&self, path: &str) -> Result<Vec<Permission>, StoreError> {
        let answer = self.request(Kind::GetPermissions, path, &[]).await?;
        let parsed =
            strings(&answer).and_then(|list| list.into_iter().map(Permission::parse).collect());
        parsed.ok_or_else(|| StoreError::new(path, Cause::Malformed))
    }

    /// Sets who may do what with a key, in the form that [`Self::permissions`] returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_permissions(
        &self,
        path: &str,
        permissions: &[Permission],
    ) -> Result<(), StoreError> {
        let list: String = permissions.iter().map(|it| format!("{it}\0")).collect();
        let rest = [list.as_bytes()];
        self.request(Kind::SetPermissions, path, &rest)
            .await
            .map(drop)
    }

    /// Does `body` as one step: nobody sees half of it, and it sees nobody's half. It is done again
    /// when it met another transaction.
    ///
    /// # Errors
    /// What `body` returns, or [`StoreError`] of the transaction itself.
    pub async fn transaction<R>(
        &self,
        body: impl AsyncFn(&Xenstore) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        for _ in 0..ATTEMPTS {
            let open = OpenTransaction::begin(self).await?;
            let result = body(&open.store).await;
            match result {
                Ok(value) => match open.end().await {
                    Ok(()) => return Ok(value),
                    Err(Cause::Again) => {}
                    Err(cause) => return Err(StoreError::new("transaction", cause)),
                },
                Err(error) if error.cause == Cause::Again => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::new("transaction", Cause::Again))
    }

    /// Watches a key and everything below it; the first event comes at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn watch(&self, path: &str) -> Result<Watch, StoreError> {
        // Before there is a watch, which would be taken back when it is dropped.
        check(path)?;
        let watch = Watch {
            connection: self.connection.clone(),
            path: path.into(),
            number: self.connection.add_watch(path),
        };
        let token = watch.token();
        self.request(Kind::Watch, path, &[token.as_bytes()]).await?;
        Ok(watch)
    }
}

fn check(path: &str) -> Result<(), StoreError> {
    check_path(path).map_err(|error| StoreError::new(path, Cause::Path(error)))
}

fn owned_strings(path: &str, list: &[u8]) -> Result<Vec<String>, StoreError> {
    let list = strings(list).ok_or_else(|| StoreError::new(path, Cause::Malformed))?;
    Ok(list.into_iter().map(String::from).collect())
}

impl Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = match (self.read, self.write) {
            (true, true) => 'b',
            (true, false) => 'r',
            (false, true) => 'w',
            (false, false) => 'n',
        };
        write!(f, "{flag}{}", self.domain.0)
    }
}

impl Permission {
    fn parse(text: &str) -> Option<Self> {
        let (flag, domain) = text.split_at_checked(1)?;
        let (read, write) = match flag {
            "b" => (true, true),
            "r" => (true, false),
            "w" => (false, true),
            "n" => (false, false),
            _ => return None,
        };
        Some(Self {
            domain: DomainId(domain.parse().ok()?),
            read,
            write,
        })
    }
}

/// A transaction that was begun; dropped before its end, it changes nothing.
struct OpenTransaction {
    store: Xenstore,
    ended: bool,
}

impl OpenTransaction {
    async fn begin(store: &Xenstore) -> Result<Self, StoreError> {
        let error = |cause| StoreError::new("transaction", cause);
        let connection = store.connection.clone();
        let answer = connection
            .request(Kind::TransactionStart, 0, &[b"\0"])
            .await;
        let answer = answer.map_err(error)?;
        let number = strings(&answer).and_then(|it| it.first()?.parse().ok());
        let transaction = number.ok_or_else(|| error(Cause::Malformed))?;
        Ok(Self {
            store: Xenstore {
                connection,
                transaction,
            },
            ended: false,
        })
    }

    async fn end(mut self) -> Result<(), Cause> {
        self.ended = true;
        let Xenstore {
            connection,
            transaction,
        } = self.store.clone();
        let parts: [&[u8]; 1] = [b"T\0"];
        connection
            .request(Kind::TransactionEnd, transaction, &parts)
            .await
            .map(drop)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if !self.ended {
            let store = &self.store;
            store
                .connection
                .request_unheard(Kind::TransactionEnd, store.transaction, &[b"F\0"]);
        }
    }
}

/// The changes of a key and of everything below it, as a stream of paths. Events that were not
/// taken yet and name the same path are one. The stream ends when the connection is broken.
pub struct Watch {
    connection: Rc<Connection>,
    path: String,
    number: u32,
}

impl Watch {
    fn token(&self) -> String {
        format!("{}\0", self.number)
    }
}

impl Stream for Watch {
    type Item = String;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<String>> {
        self.connection.poll_watch(self.number, context)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.connection.remove_watch(self.number);
        let (path, token) = (self.path.as_bytes(), self.token());
        let parts: [&[u8]; 3] = [path, b"\0", token.as_bytes()];
        self.connection.request_unheard(Kind::Unwatch, 0, &parts);
    }
}

#[cfg(test)]
pub(crate) mod tests;
