//! The folder of private copies: `$LANDFALL_CACHE`, `$XDG_CACHE_HOME/landfall` or `~/.cache/landfall`.
//!
//! An entry is made in a temporary folder beside its place and renamed into it, so a half-finished one
//! is never seen; a file lock keeps two runs from making the same entry twice.

use std::fs::{File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

/// Prefix of folders in the making; leftovers of a killed run carry it too.
const UNFINISHED: &str = "unfinished-";

/// After how long an entry that has become another is in the way.
const UNUSED: Duration = Duration::from_hours(30 * 24);

/// Returns the cache folder, which may not exist yet.
pub(crate) fn folder() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("LANDFALL_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("landfall")))
        .or_else(|| Some(set("HOME")?.join(".cache/landfall")))
        .context("no place for downloads: set LANDFALL_CACHE to a folder")
}

/// Returns where the entry `name` is, if it was made.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    folder()
        .ok()
        .map(|folder| folder.join(name))
        .filter(|entry| entry.is_dir())
}

/// Returns the entry `name`; when it is not there or does not work, `make` fills an empty folder with it.
///
/// `make` is given that folder first and then the place to which it will be moved.
pub(crate) fn entry(
    name: &str,
    works: impl Fn(&Path) -> bool,
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = folder()?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let _lock = lock(&folder)?;
    let place = folder.join(name);
    if place.is_dir() && works(&place) {
        mark_used(&place);
        return Ok(place);
    }
    remove_unfinished(&folder)?;
    if place.is_dir() {
        std::fs::remove_dir_all(&place)
            .with_context(|| format!("cannot remove {}", place.display()))?;
    }
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(&folder)?;
    make(unfinished.path(), &place)?;
    std::fs::set_permissions(unfinished.path(), PermissionsExt::from_mode(0o755))?;
    std::fs::rename(unfinished.path(), &place)
        .with_context(|| format!("cannot move the finished copy to {}", place.display()))?;
    Ok(place)
}

/// Notes the time in an entry. It is of no harm where that is not allowed: the entry is made again one day.
fn mark_used(entry: &Path) {
    let _not_ours = File::open(entry).and_then(|entry| entry.set_modified(SystemTime::now()));
}

/// Removes the entries that begin with `prefix` and that nobody has asked for in [`UNUSED`].
///
/// Only while an entry is made: then nobody else is looking for one.
pub(crate) fn remove_unused(prefix: &str) -> Result<()> {
    remove_unused_in(&folder()?, prefix)
}

fn remove_unused_in(folder: &Path, prefix: &str) -> Result<()> {
    let long_ago = SystemTime::now() - UNUSED;
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let is_one = item.file_name().to_string_lossy().starts_with(prefix);
        if is_one && item.metadata()?.modified()? < long_ago {
            std::fs::remove_dir_all(item.path())
                .with_context(|| format!("cannot remove {}", item.path().display()))?;
        }
    }
    Ok(())
}

/// Writes an executable shell script, unless the very same one is there already.
pub(crate) fn script(path: &Path, body: &str) -> Result<()> {
    let text = format!("#!/bin/sh\n{body}\n");
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = path.parent().context("a script lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    // By rename, for another run may be executing the old one.
    let new = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::write(new.path(), text)?;
    std::fs::set_permissions(new.path(), PermissionsExt::from_mode(0o755))?;
    new.persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Quotes `path` for a shell script.
pub(crate) fn quote(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

pub(super) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("setup: waiting for another cargo landfall that is fetching something");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
    }
    Ok(file)
}

/// Removes what killed runs left. Only called with the lock held, so nobody is using it.
fn remove_unfinished(folder: &Path) -> Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        if item.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_dir_all(item.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_executable_and_quoted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("say");
        script(&path, &format!("echo {}", quote(Path::new("it's"))))
            .expect("the script is written");
        let output = std::process::Command::new(&path)
            .output()
            .expect("the script runs");
        assert_eq!(output.stdout, b"it's\n");
    }

    #[test]
    fn what_was_not_used_for_long_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(60);
        for name in ["xen-old", "xen-used", "other-old"] {
            let entry = folder.path().join(name);
            std::fs::create_dir(&entry).expect("an entry");
            std::fs::write(entry.join("file"), "content").expect("a file in it");
            let entry = File::open(entry).expect("it is there");
            entry.set_modified(long_ago).expect("it is ours");
        }
        mark_used(&folder.path().join("xen-used"));
        remove_unused_in(folder.path(), "xen-").expect("the removal works");
        let left = |name| folder.path().join(name).exists();
        assert_eq!(
            ["xen-old", "xen-used", "other-old"].map(left),
            [false, true, true]
        );
    }

    #[test]
    fn leftovers_of_killed_runs_are_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let leftover = folder.path().join("unfinished-abc");
        std::fs::create_dir(&leftover).expect("a leftover");
        std::fs::create_dir(folder.path().join("finished")).expect("an entry");
        remove_unfinished(folder.path()).expect("the removal works");
        assert!(!leftover.exists());
        assert!(folder.path().join("finished").exists());
    }
}
