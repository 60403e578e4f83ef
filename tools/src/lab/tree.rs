//! The files of Debian packages in memory, as they would lie in one root folder.
//!
//! A package is an `ar` archive with a compressed tar archive of its files in it (deb(5)).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// The folders that are one with those below `usr`, whichever of the two a package names.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];

/// The most links that are followed for one path.
const LINKS: usize = 16;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file.
    File {
        /// Its permissions.
        mode: u32,
        /// Its bytes; hard links share them.
        data: Rc<[u8]>,
    },
    /// A symbolic link, and where it points.
    Link(String),
}

/// Files by path. Paths have no slash at the front: `usr/bin/bash`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Adds those files of a package whose paths are `wanted`.
    pub(crate) fn add_package(&mut self, path: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        self.add_archive(file, wanted)
            .with_context(|| format!("{} is no Debian package, or a damaged one", path.display()))
    }

    fn add_archive(&mut self, package: impl Read, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut archive = ar::Archive::new(package);
        while let Some(member) = archive.next_entry() {
            let member = member?;
            let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
            if let Some(extension) = name.strip_prefix("data.tar") {
                return self.add_tar(decompressed(extension, member)?, wanted);
            }
        }
        bail!("it has no data.tar")
    }

    fn add_tar(&mut self, tar: impl Read, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = normal(&entry.path()?.to_string_lossy());
            if !wanted(&path) {
                continue;
            }
            let target = entry
                .link_name()?
                .map(|target| target.to_string_lossy().into_owned());
            match (entry.header().entry_type(), target) {
                (tar::EntryType::Regular, _) => {
                    let mut data = Vec::new();
                    entry.read_to_end(&mut data)?;
                    self.insert(&path, entry.header().mode()? & 0o7777, data);
                }
                (tar::EntryType::Symlink, Some(target)) => self.link(&path, &target),
                (tar::EntryType::Link, Some(target)) => self.share(path, &normal(&target))?,
                // Folders come with the files that lie in them; packages hold no devices.
                _ => {}
            }
        }
        Ok(())
    }

    /// A hard link: the same file again.
    fn share(&mut self, path: String, other: &str) -> Result<()> {
        let node = self
            .0
            .get(other)
            .with_context(|| format!("{path} is a link to {other}, which is not there"))?;
        self.0.insert(path, node.clone());
        Ok(())
    }

    /// Adds a file.
    pub(crate) fn insert(&mut self, path: &str, mode: u32, data: impl Into<Rc<[u8]>>) {
        let data = data.into();
        self.0.insert(path.to_owned(), Node::File { mode, data });
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.0
            .insert(path.to_owned(), Node::Link(target.to_owned()));
    }

    /// Adds links for the names under which programs also look for what lies below `usr`.
    pub(crate) fn link_merged_folders(&mut self) {
        for folder in MERGED {
            self.link(folder, &format!("usr/{folder}"));
        }
    }

    /// All paths with what lies there, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The bytes of the file at `path`, which may be a link to it.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        self.file_behind(path).map(|(_, data)| data)
    }

    /// The file to which `path` leads, and its bytes.
    fn file_behind(&self, path: &str) -> Option<(String, &[u8])> {
        let mut path = normal(path);
        for _ in 0..LINKS {
            match self.0.get(&path)? {
                Node::File { data, .. } => return Some((path, data)),
                Node::Link(target) => path = joined(&path, target),
            }
        }
        None
    }

    /// Copies `path` from `other`, and if it is a link what it leads to as well.
    pub(crate) fn take(&mut self, other: &Tree, path: &str) -> Result<()> {
        let (behind, _) = other
            .file_behind(path)
            .with_context(|| format!("the packages have no {path}"))?;
        let mut path = normal(path);
        while let Some(node) = other.0.get(&path) {
            self.0.insert(path.clone(), node.clone());
            match node {
                Node::Link(target) if path != behind => path = joined(&path, target),
                _ => break,
            }
        }
        Ok(())
    }
}

/// Undoes the compression that a file name's ending tells of.
pub(crate) fn decompressed<'a>(
    extension: &str,
    data: impl Read + 'a,
) -> Result<Box<dyn Read + 'a>> {
    Ok(match extension {
        "" => Box::new(data),
        ".xz" => Box::new(XzReader::new(data, true)),
        ".zst" => Box::new(StreamingDecoder::new(data)?),
        other => bail!("the compression {other} is not known"),
    })
}

/// Where a link at `path` leads.
fn joined(path: &str, target: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if !target.starts_with('/') => normal(&format!("{folder}/{target}")),
        _ => normal(target),
    }
}

/// A path without `.` and `..`, and with the merged folders below `usr`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.first().is_some_and(|first| MERGED.contains(first)) {
        parts.insert(0, "usr");
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package whose data has a file `bin/a`, a hard link `usr/bin/b` to it, and a symbolic link `lib/c`.
    fn package() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o755);
        tar.append_data(&mut header, "./bin/a", &b"text"[..])
            .expect("a file");
        let mut add = |kind, path: &str, target: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            tar.append_link(&mut header, path, target).expect("a link");
        };
        add(tar::EntryType::Link, "./usr/bin/b", "./bin/a");
        add(tar::EntryType::Symlink, "./lib/c", "/bin/a");
        let data = tar.into_inner().expect("a tar archive");
        let mut archive = ar::Builder::new(Vec::new());
        for (name, data) in [("debian-binary", &b"2.0\n"[..]), ("data.tar", &data)] {
            let header = ar::Header::new(name.as_bytes().to_vec(), data.len() as u64);
            archive.append(&header, data).expect("a member");
        }
        archive.into_inner().expect("an ar archive")
    }

    fn tree(wanted: impl Fn(&str) -> bool) -> Tree {
        let mut tree = Tree::default();
        tree.add_archive(&package()[..], wanted)
            .expect("a sound package");
        tree
    }

    #[test]
    fn packages_are_read_with_their_links() {
        let tree = tree(|_| true);
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr/bin/a", "usr/bin/b", "usr/lib/c"]);
        for path in ["usr/bin/a", "usr/bin/b", "usr/lib/c", "/lib/c"] {
            assert_eq!(tree.file(path), Some(&b"text"[..]), "{path}");
        }
        assert_eq!(tree.file("usr/lib/d"), None);
    }

    #[test]
    fn only_wanted_files_are_kept() {
        assert_eq!(tree(|path| path == "usr/bin/a").iter().count(), 1);
    }

    #[test]
    fn a_link_is_taken_with_what_it_leads_to() {
        let mut some = Tree::default();
        some.take(&tree(|_| true), "usr/lib/c")
            .expect("it is there");
        let paths: Vec<&str> = some.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr/bin/a", "usr/lib/c"]);
        assert!(some.take(&tree(|_| true), "usr/lib/d").is_err());
    }

    #[test]
    fn links_in_a_circle_lead_nowhere() {
        let mut tree = Tree::default();
        tree.link("usr/a", "b");
        tree.link("usr/b", "a");
        assert_eq!(tree.file("usr/a"), None);
    }

    #[test]
    fn damaged_packages_are_refused() {
        assert!(
            Tree::default()
                .add_archive(&package()[..100], |_| true)
                .is_err()
        );
        assert!(
            Tree::default()
                .add_archive(&b"#!/bin/sh"[..], |_| true)
                .is_err()
        );
        assert!(decompressed(".lz4", &b""[..]).is_err());
    }
}
