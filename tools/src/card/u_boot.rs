//! U-Boot for Allwinner boards: Debian's, fetched and not installed.

use anyhow::{Context, Result};

use super::models::Model;
use crate::lab::tree::Tree;
use crate::setup::cache;
use crate::setup::foreign::{Apt, Mirror};

const PACKAGE: &str = "u-boot-sunxi";
const FOLDER: &str = "usr/lib/u-boot";
/// SPL, which the boot ROM starts, and U-Boot.
const FILE: &str = "u-boot-sunxi-with-spl.bin";

/// Returns U-Boot for a model.
pub(crate) fn get(model: Model, mirror: Option<Mirror>) -> Result<Vec<u8>> {
    let apt = Apt::open("armhf", mirror)?;
    let mut packages = apt.resolve(&[PACKAGE])?;
    packages.retain(|package| package.name == PACKAGE);
    let package = packages
        .first()
        .context("apt resolves what it is asked for")?;
    // Versions have characters that file names do not like.
    let version: String = package
        .version
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
        .collect();
    let name = format!("{PACKAGE}-{version}");
    let file = format!("{}-{FILE}", model.u_boot);
    let folder = cache::entry(
        &name,
        |folder| folder.join(&file).is_file(),
        |folder, _| {
            let mut tree = Tree::default();
            for path in apt.fetch(&packages)? {
                tree.add_package(&path, |path| path.starts_with(FOLDER))?;
            }
            for (path, _) in tree.iter() {
                if let Some(board) = board_in(path) {
                    let data = tree.file(path).context("it was listed")?;
                    std::fs::write(folder.join(format!("{board}-{FILE}")), data)?;
                }
            }
            Ok(())
        },
    )?;
    let path = folder.join(&file);
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The board in `usr/lib/u-boot/BOARD/u-boot-sunxi-with-spl.bin`.
fn board_in(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let (board, file) = rest.split_once('/')?;
    (file == FILE).then_some(board)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_folders_with_a_program_for_the_boot_rom() {
        let path = "usr/lib/u-boot/orangepi_plus/u-boot-sunxi-with-spl.bin";
        assert_eq!(board_in(path), Some("orangepi_plus"));
        assert_eq!(board_in("usr/lib/u-boot/orangepi_plus/uboot.elf"), None);
        assert_eq!(board_in("usr/share/doc/u-boot-sunxi/README"), None);
    }
}
