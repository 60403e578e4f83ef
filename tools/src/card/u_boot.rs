//! U-Boot: Debian's, fetched and not installed.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::lab::tree::Tree;
use crate::setup::cache;
use crate::setup::foreign::{Apt, Mirror};

/// Where both packages have a folder for each board.
const FOLDER: &str = "usr/lib/u-boot";

/// A package of U-Boot, and the file of each board that is of use.
struct Kind {
    package: &'static str,
    file: &'static str,
}

/// For Allwinner's chips: SPL, which the boot ROM starts, and U-Boot.
const SUNXI: Kind = Kind {
    package: "u-boot-sunxi",
    file: "u-boot-sunxi-with-spl.bin",
};

/// For QEMU's machines.
const QEMU: Kind = Kind {
    package: "u-boot-qemu",
    file: "u-boot.bin",
};

/// Returns U-Boot for the Allwinner board that has this folder in the package.
pub(crate) fn sunxi(board: &str, mirror: Option<Mirror>) -> Result<Vec<u8>> {
    let path = SUNXI.get(board, mirror)?;
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns the file of U-Boot for QEMU's `virt` with a 32-bit CPU.
pub(crate) fn qemu() -> Result<PathBuf> {
    QEMU.get("qemu_arm", None)
}

impl Kind {
    fn get(&self, board: &str, mirror: Option<Mirror>) -> Result<PathBuf> {
        let Self { package, file } = self;
        let apt = Apt::open("armhf", mirror)?;
        let mut packages = apt.resolve(&[package])?;
        packages.retain(|found| found.name == *package);
        let found = packages
            .first()
            .context("apt resolves what it is asked for")?;
        // Versions have characters that file names do not like.
        let version: String = found
            .version
            .chars()
            .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
            .collect();
        let name = format!("{package}-{version}");
        let wanted = format!("{board}-{file}");
        let folder = cache::entry(
            &name,
            |folder| folder.join(&wanted).is_file(),
            |folder, _| {
                let mut tree = Tree::default();
                for path in apt.fetch(&packages)? {
                    tree.add_package(&path, |path| path.starts_with(FOLDER))?;
                }
                for (path, _) in tree.iter() {
                    if let Some(board) = self.board_in(path) {
                        let data = tree.file(path).context("it was listed")?;
                        std::fs::write(folder.join(format!("{board}-{file}")), data)?;
                    }
                }
                Ok(())
            },
        )?;
        Ok(folder.join(wanted))
    }

    /// The board in a path, as in `usr/lib/u-boot/BOARD/u-boot-sunxi-with-spl.bin`.
    fn board_in<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (board, file) = rest.split_once('/')?;
        (file == self.file).then_some(board)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_folders_with_a_program_for_the_boot_rom() {
        let path = "usr/lib/u-boot/orangepi_plus/u-boot-sunxi-with-spl.bin";
        assert_eq!(SUNXI.board_in(path), Some("orangepi_plus"));
        assert_eq!(
            SUNXI.board_in("usr/lib/u-boot/orangepi_plus/uboot.elf"),
            None
        );
        assert_eq!(SUNXI.board_in("usr/share/doc/u-boot-sunxi/README"), None);
    }
}
