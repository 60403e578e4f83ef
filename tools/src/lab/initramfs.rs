//! From a tree of files to the cpio archive that Linux unpacks as its first root folder
//! (Linux Documentation/driver-api/early-userspace/buffer-format.rst). It is not compressed: an emulated
//! processor would take longer to unpack it than the emulator takes to load it.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, Result};
use cpio::newc::{self, Builder};

use super::tree::{Node, Tree};

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Writes `tree` as an archive, with the folders that its paths name.
pub(crate) fn write(tree: &Tree, archive: impl Write) -> Result<()> {
    let mut folders = BTreeSet::new();
    for (path, _) in tree.iter() {
        for (slash, _) in path.match_indices('/') {
            folders.insert(&path[..slash]);
        }
    }
    let mut archive = archive;
    for folder in folders {
        archive = entry(archive, folder, FOLDER | 0o755, b"")?;
    }
    for (path, node) in tree.iter() {
        archive = match node {
            Node::File { mode, data } => entry(archive, path, FILE | mode, data)?,
            Node::Link(target) => entry(archive, path, LINK | 0o777, target.as_bytes())?,
        };
    }
    newc::trailer(archive)?.flush()?;
    Ok(())
}

fn entry<W: Write>(archive: W, path: &str, mode: u32, data: &[u8]) -> Result<W> {
    let length = u32::try_from(data.len())
        .with_context(|| format!("{path} is too large for an initramfs"))?;
    let mut writer = Builder::new(path).mode(mode).write(archive, length);
    writer.write_all(data)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn folders_come_before_what_lies_in_them() {
        let mut tree = Tree::default();
        tree.insert("usr/bin/a", 0o755, *b"text");
        tree.link("usr/b", "bin/a");
        let mut archive = Vec::new();
        write(&tree, &mut archive).expect("memory has room");
        let mut rest = &archive[..];
        let mut seen = Vec::new();
        loop {
            let mut reader = newc::Reader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            let mut data = Vec::new();
            reader.read_to_end(&mut data).expect("its data");
            seen.push((
                reader.entry().name().to_owned(),
                reader.entry().mode(),
                data,
            ));
            rest = reader.finish().expect("the next entry");
        }
        let expected = [
            ("usr", 0o040_755, &b""[..]),
            ("usr/bin", 0o040_755, b""),
            ("usr/b", 0o120_777, b"bin/a"),
            ("usr/bin/a", 0o100_755, b"text"),
        ];
        assert_eq!(
            seen,
            expected.map(|(path, mode, data)| (path.to_owned(), mode, data.to_vec()))
        );
    }
}
