//! A root folder for Linux, made from Debian's packages: programs and what they need, modules of the kernel, and
//! files of our own.

use anyhow::Result;

use super::tree::Tree;
use super::{libraries, modules};

/// A library that no program names: the C library loads it when `xl` ends a thread.
const LOADED: &str = "libgcc_s.so.1";

/// What of the wanted files is not: it needs Python, or is the other of two xenstoreds.
const UNWANTED: [&str; 4] = ["/python/", "/oxenstored", "/pygrub", ".py"];

/// A file of our own: path, permissions, text.
pub(crate) type Own = (&'static str, u32, &'static str);

/// What goes into a root folder. Each list is one of several, as some are for more than one recipe.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// Packages of programs, besides Xen's and the kernel.
    pub(crate) packages: &'static [&'static [&'static str]],
    /// What of the packages goes in as it is: files and folders, by the beginnings of their paths.
    pub(crate) wanted: &'static [&'static [&'static str]],
    /// The modules of the kernel, which [`MODULES`] has in the order in which they must be loaded.
    pub(crate) modules: &'static [&'static [&'static str]],
    /// Files of our own.
    pub(crate) own: &'static [&'static [Own]],
}

/// The folder of the modules.
const MODULES: &str = "modules";

impl Recipe {
    /// The packages.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &'static str> {
        all(self.packages)
    }

    /// Everything that decides what goes in, apart from the packages.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        let own = all(self.own).map(|(path, mode, text)| format!("{path} {mode:o} {text}"));
        let names = all(self.wanted).chain(all(self.modules));
        let names = names.chain(UNWANTED).chain([LOADED, MODULES]);
        own.chain(names.map(str::to_owned))
    }

    /// Returns whether a path of a package goes in as it is.
    pub(crate) fn is_wanted(&self, path: &str) -> bool {
        all(self.wanted).any(|prefix| path.starts_with(prefix))
            && !UNWANTED.iter().any(|part| path.contains(part))
    }

    /// Makes the root folder.
    pub(crate) fn root(&self, packages: &Tree) -> Result<Tree> {
        let mut root = Tree::default();
        for (path, _) in packages.iter().filter(|(path, _)| self.is_wanted(path)) {
            root.take(packages, path)?;
        }
        libraries::add(&mut root, packages, &[LOADED])?;
        let modules: Vec<&str> = all(self.modules).collect();
        modules::add(&mut root, packages, &modules, MODULES)?;
        for (path, mode, text) in all(self.own) {
            root.insert(path, mode, text.as_bytes());
        }
        root.link_merged_folders();
        root.link("usr/bin/sh", "busybox");
        Ok(root)
    }
}

/// The entries of several lists.
fn all<T: Copy>(lists: &'static [&'static [T]]) -> impl Iterator<Item = T> {
    lists.iter().copied().flatten().copied()
}
