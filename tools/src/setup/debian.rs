//! Debian's Rust, unpacked privately: a compiler with its matching library source, its clippy, and LLVM's
//! linker.
//!
//! The packages are never installed: that would put a second `rustc` on the user's `PATH`. Their programs
//! are started through small scripts that point the loader at the unpacked libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{apt, cache};
use crate::process;

/// The oldest compiler that builds this workspace, from its `rust-version`.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Compiler, library source and clippy; in some releases the browser's own is much newer.
const FAMILIES: [[&str; 3]; 2] = [
    ["rustc-web", "rust-web-src", "rust-web-clippy"],
    ["rustc", "rust-src", "rust-clippy"],
];

const TOOLCHAIN: &str = "debian-rust";
const CLIPPY: &str = "debian-clippy";
const LLD: &str = "debian-lld";

// The names matter: clippy knows a compiler, and the compiler a linker, by the name of its file.
const RUSTC: &str = "scripts/rustc";
const CLIPPY_DRIVER: &str = "scripts/clippy-driver";
const LINKER: &str = "scripts/rust-lld";

/// Returns the script that runs Debian's `rustc`, if it was unpacked earlier and works.
pub(crate) fn find_rustc() -> Option<PathBuf> {
    cache::find(TOOLCHAIN)
        .filter(|place| compiles(place))
        .map(|place| place.join(RUSTC))
}

/// Returns the script that runs Debian's `rustc`, unpacking it first where needed.
pub(crate) fn rustc(why: &str) -> Result<PathBuf> {
    if let Some(rustc) = find_rustc() {
        return Ok(rustc);
    }
    let [compiler, source, _] = family()?;
    let place = cache::entry(TOOLCHAIN, compiles, |folder, place| {
        eprintln!(
            "setup: {why}: fetching Debian's {compiler} and {source} into a folder of its own, some 140 MB"
        );
        let unpacked = apt::unpack(&[compiler, source], folder)?;
        keep_only_the_library(folder)?;
        std::fs::write(folder.join("packages"), unpacked.join("\n"))?;
        cache::script(
            &folder.join(RUSTC),
            &private(place, &[place], "usr/bin/rustc"),
        )
    })?;
    ensure!(
        compiles(&place),
        "the unpacked {compiler} in {} does not start",
        place.display()
    );
    Ok(place.join(RUSTC))
}

/// Returns the script that runs the `clippy-driver` of Debian's `rustc`.
pub(crate) fn clippy_driver() -> Result<PathBuf> {
    rustc("clippy's compiler is missing")?;
    let compiler = cache::find(TOOLCHAIN).context("the compiler was unpacked just now")?;
    let works = |place: &Path| place.join(CLIPPY_DRIVER).is_file();
    let place = cache::entry(CLIPPY, works, |folder, place| {
        let [_, _, clippy] = family()?;
        eprintln!(
            "setup: clippy for Debian's compiler is missing: fetching {clippy} into a folder of its own"
        );
        // Its dependencies are those of the compiler, which lie beside it.
        apt::unpack_alone(clippy, folder)?;
        cache::script(
            &folder.join(CLIPPY_DRIVER),
            &private(place, &[&compiler], "usr/bin/clippy-driver"),
        )
    })?;
    Ok(place.join(CLIPPY_DRIVER))
}

/// Returns the script that runs LLVM's linker, if it was unpacked earlier.
pub(crate) fn find_lld() -> Option<PathBuf> {
    cache::find(LLD)
        .map(|place| place.join(LINKER))
        .filter(|script| script.is_file())
}

/// Returns the script that runs LLVM's linker, unpacking it first where needed.
pub(crate) fn lld(why: &str) -> Result<PathBuf> {
    let works = |place: &Path| place.join(LINKER).is_file();
    let place = cache::entry(LLD, works, |folder, place| {
        let version = newest_lld()?;
        let package = format!("lld-{version}");
        eprintln!("setup: {why}: fetching Debian's {package} into a folder of its own");
        apt::unpack(&[&package], folder)?;
        let program = format!("usr/lib/llvm-{version}/bin/lld");
        cache::script(&folder.join(LINKER), &private(place, &[place], &program))
    })?;
    Ok(place.join(LINKER))
}

/// Returns whether the compiler unpacked in `place` starts and is new enough.
fn compiles(place: &Path) -> bool {
    let version = process::output(Command::new(place.join(RUSTC)).arg("--version"));
    version.is_ok_and(|version| version.split_whitespace().nth(1).is_some_and(new_enough))
}

/// The body of a script that runs `program` of `place` with the libraries of `trees`.
pub(super) fn private(place: &Path, trees: &[&Path], program: &str) -> String {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders: Vec<String> = trees
        .iter()
        .flat_map(|tree| [tree.join("usr/lib").join(&machine), tree.join("usr/lib")])
        .map(|folder| cache::quote(&folder))
        .collect();
    format!(
        "LD_LIBRARY_PATH={}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} exec {} \"$@\"",
        folders.join(":"),
        cache::quote(&place.join(program))
    )
}

/// The packages of the first family that is new enough.
fn family() -> Result<[&'static str; 3]> {
    let usable = |family: &[&'static str; 3]| {
        apt::candidate(family[0]).is_some_and(|version| new_enough(&version))
    };
    if let Some(family) = FAMILIES.into_iter().find(usable) {
        return Ok(family);
    }
    // The lists may know only a compiler of the past.
    apt::update();
    FAMILIES
        .into_iter()
        .find(usable)
        .with_context(|| format!("apt offers no Rust compiler of version {OLDEST} or newer"))
}

/// Removes the source of everything but the library: two thirds of the unpacked bytes.
fn keep_only_the_library(folder: &Path) -> Result<()> {
    let sources = folder.join("usr/src");
    for tree in std::fs::read_dir(&sources).with_context(|| format!("no {}", sources.display()))? {
        let tree = tree?.path();
        ensure!(
            tree.join("library").is_dir(),
            "{} holds no library source",
            tree.display()
        );
        for item in std::fs::read_dir(&tree)? {
            let item = item?;
            if item.file_type()?.is_dir() && item.file_name() != "library" {
                std::fs::remove_dir_all(item.path())?;
            }
        }
    }
    Ok(())
}

fn newest_lld() -> Result<u32> {
    apt::update_if_unknown(&["lld"]);
    let names = process::output(Command::new("apt-cache").args(["pkgnames", "lld-"]))?;
    let newest = names
        .lines()
        .filter_map(|name| name.strip_prefix("lld-")?.parse::<u32>().ok())
        .max();
    newest.context("apt offers no linker (lld)")
}

/// Compares `1.96.0+dfsg1-1` or `1.91` with the oldest compiler that will do.
fn new_enough(version: &str) -> bool {
    let numbers = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version
            .split(['.', '+', '-', '~'])
            .map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    numbers(version) >= numbers(OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_compilers_are_refused() {
        assert!(new_enough("1.96.0+dfsg1-1~deb12u2"));
        assert!(new_enough(OLDEST));
        assert!(!new_enough("1.63.0+dfsg1-2"));
        assert!(!new_enough("nonsense"));
    }

    #[test]
    fn scripts_name_libraries_before_the_program() {
        let body = private(Path::new("/c/d"), &[Path::new("/c/d")], "usr/bin/rustc");
        assert!(body.starts_with("LD_LIBRARY_PATH='/c/d/usr/lib/"), "{body}");
        assert!(body.ends_with("exec '/c/d/usr/bin/rustc' \"$@\""), "{body}");
    }
}
