//! Device trees of boards, for QEMU where it starts an image without U-Boot: those of Debian's kernel, fetched and not
//! installed.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::lab::tree::Tree;
use crate::setup::cache;
use crate::setup::foreign::{Apt, Mirror};

/// The kernel that the lab's 32-bit host runs, too.
const PACKAGE: &str = "linux-image-armmp-lpae";
/// The package that it stands for, by the kernel's version.
const VERSIONED: &str = "linux-image-";

/// Returns where the device tree of this name is, such as `sun4i-a10-cubieboard.dtb`.
pub(crate) fn get(name: &str, mirror: Option<Mirror>) -> Result<PathBuf> {
    let apt = Apt::open("armhf", mirror)?;
    let mut packages = apt.resolve(&[PACKAGE])?;
    packages.retain(|package| package.name != PACKAGE && package.name.starts_with(VERSIONED));
    let package = packages
        .first()
        .context("the kernel's package depends on none of a version")?;
    let entry = format!("device-tree-{name}-{}", package.name);
    let folder = cache::entry(
        &entry,
        |folder| folder.join(name).is_file(),
        |folder, _| {
            let mut tree = Tree::default();
            let ending = format!("/{name}");
            for path in apt.fetch(&packages)? {
                tree.add_package(&path, |path| path.ends_with(&ending))?;
            }
            let path = tree.iter().next().map(|(path, _)| path);
            let data = path.and_then(|path| tree.file(path));
            let data = data.with_context(|| format!("{PACKAGE} has no device tree {name}"))?;
            Ok(std::fs::write(folder.join(name), data)?)
        },
    )?;
    Ok(folder.join(name))
}
