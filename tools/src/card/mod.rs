//! SD cards for Allwinner boards: what U-Boot finds on them.
//!
//! [`models`] is the table of boards, [`u_boot`] fetches Debian's U-Boot for one ([`device_tree`] what QEMU takes instead), [`script`] makes what U-Boot runs, and
//! [`Card`] puts it all together: U-Boot at 8 KiB, where the chip's boot ROM looks for it, and a FAT partition with the
//! rest. The same parts give the same bytes. [`xen`] makes cards on which the app is a guest of Xen.

pub(crate) mod device_tree;
mod dom0;
pub(crate) mod models;
mod script;
pub(crate) mod u_boot;
pub(crate) mod xen;

use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};

/// Bytes of a card. QEMU wants a power of two.
const CARD: usize = 64 << 20;
/// Where the boot ROM of Allwinner's chips looks for its program (linux-sunxi.org, "Bootable SD card").
const U_BOOT_AT: usize = 8 << 10;
/// Where the partition begins: everything before is U-Boot's.
const PARTITION_AT: usize = 1 << 20;
/// Where the partition for logs begins, on cards that have one.
const LOGS_AT: usize = 48 << 20;
const SECTOR: usize = 512;

/// What the partitions and the disk are called.
const LABEL: [u8; 11] = *b"LANDFALL   ";
const LABEL_OF_LOGS: [u8; 11] = *b"LANDFALLLOG";
const IDENTIFIER: u32 = 0x4c46_4c46;

/// The script that U-Boot runs, with a header, and as one reads it.
const SCRIPT: &str = "boot.scr";
const SCRIPT_TEXT: &str = "boot.cmd";
/// The boot arguments, for whoever wants to change them on the card.
const ARGUMENTS: &str = "landfall.txt";

/// A card's files.
pub(crate) struct Card {
    u_boot: Vec<u8>,
    /// By path.
    files: Vec<(String, Vec<u8>)>,
    /// There is a second partition, empty, for what the board has to say.
    has_logs: bool,
}

impl Card {
    /// A card that starts `image` (a zImage, which U-Boot's `bootz` takes) with `arguments`.
    pub(crate) fn new(u_boot: Vec<u8>, app: &str, image: Vec<u8>, arguments: &[String]) -> Self {
        let name = format!("{app}.zimage");
        let text = script::text(&name);
        let files = vec![
            (SCRIPT.to_owned(), script::with_header(&text)),
            (SCRIPT_TEXT.to_owned(), text.into_bytes()),
            (
                ARGUMENTS.to_owned(),
                format!("bootargs={}\n", arguments.join(" ")).into_bytes(),
            ),
            (name, image),
        ];
        Self {
            u_boot,
            files,
            has_logs: false,
        }
    }

    /// The bytes of U-Boot and of all files: what is on the card.
    pub(crate) fn payload(&self) -> usize {
        let files: usize = self.files.iter().map(|(_, data)| data.len()).sum();
        self.u_boot.len() + files
    }

    /// Writes the card to a file, with holes where there is nothing.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        let card = self.bytes()?;
        let mut file = File::create(path).with_context(cannot)?;
        file.set_len(CARD as u64).with_context(cannot)?;
        for (index, block) in card.chunks(4096).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                let at = SeekFrom::Start(4096 * index as u64);
                file.seek(at).with_context(cannot)?;
                file.write_all(block).with_context(cannot)?;
            }
        }
        file.sync_all().with_context(cannot)
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        ensure!(
            self.u_boot.len() <= PARTITION_AT - U_BOOT_AT,
            "U-Boot is of {} bytes, and there is room for {}",
            self.u_boot.len(),
            PARTITION_AT - U_BOOT_AT
        );
        let mut card = vec![0; CARD];
        let end = if self.has_logs { LOGS_AT } else { CARD };
        let logs = self.has_logs.then_some(LOGS_AT..CARD);
        let partitions = [Some(PARTITION_AT..end), logs];
        card[..SECTOR].copy_from_slice(&partition_table(partitions.iter().flatten()));
        card[U_BOOT_AT..][..self.u_boot.len()].copy_from_slice(&self.u_boot);
        write_partition(&mut card[PARTITION_AT..end], LABEL, &self.files)
            .context("the files do not fit on the card")?;
        if self.has_logs {
            write_partition(&mut card[LOGS_AT..], LABEL_OF_LOGS, &[])?;
        }
        Ok(card)
    }
}

/// Makes a file system with these files.
fn write_partition(bytes: &mut [u8], label: [u8; 11], files: &[(String, Vec<u8>)]) -> Result<()> {
    let mut storage = Cursor::new(bytes);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .volume_id(IDENTIFIER)
        .volume_label(label);
    format_volume(&mut storage, options)?;
    storage.rewind()?;
    let system = FileSystem::new(storage, FsOptions::new())?;
    for (path, data) in files {
        let mut folder = system.root_dir();
        let mut name = path.as_str();
        while let Some((first, rest)) = name.split_once('/') {
            folder = folder.create_dir(first)?;
            name = rest;
        }
        let mut file = folder.create_file(name)?;
        file.truncate()?;
        file.write_all(data)?;
    }
    Ok(system.unmount()?)
}

/// The master boot record: partitions, of which the first is to be booted from.
fn partition_table<'a>(partitions: impl Iterator<Item = &'a Range<usize>>) -> [u8; SECTOR] {
    const ACTIVE: u8 = 0x80;
    const FAT16_BY_LBA: u8 = 0x0e;
    /// In the place of cylinder, head and sector: too far for those.
    const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];
    let mut record = [0; SECTOR];
    record[440..444].copy_from_slice(&IDENTIFIER.to_le_bytes());
    let sectors = |bytes: usize| ((bytes / SECTOR) as u32).to_le_bytes();
    let entries = record[446..510].chunks_exact_mut(16);
    for (entry, partition) in entries.zip(partitions) {
        entry[1..4].copy_from_slice(&BEYOND);
        entry[4] = FAT16_BY_LBA;
        entry[5..8].copy_from_slice(&BEYOND);
        entry[8..12].copy_from_slice(&sectors(partition.start));
        entry[12..16].copy_from_slice(&sectors(partition.len()));
    }
    record[446] = ACTIVE;
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn card() -> Card {
        let arguments = ["port=80".to_owned(), "log=debug".to_owned()];
        Card::new(vec![7; 500_000], "hello", vec![9; 300_000], &arguments)
    }

    #[test]
    fn all_is_where_the_chip_and_u_boot_look() {
        let mut bytes = card().bytes().expect("it fits");
        assert_eq!(bytes.len(), CARD);
        assert_eq!(bytes[510..512], [0x55, 0xaa]);
        assert_eq!(bytes[U_BOOT_AT - 1..U_BOOT_AT + 1], [0, 7]);
        let start = u32::from_le_bytes(bytes[454..458].try_into().expect("four bytes"));
        let storage = Cursor::new(&mut bytes[start as usize * SECTOR..]);
        let system = FileSystem::new(storage, FsOptions::new()).expect("a file system");
        let read = |name: &str| {
            let mut data = Vec::new();
            let mut file = system.root_dir().open_file(name).expect("it is there");
            file.read_to_end(&mut data).expect("it can be read");
            data
        };
        assert_eq!(read("hello.zimage"), [9; 300_000]);
        assert_eq!(read("landfall.txt"), b"bootargs=port=80 log=debug\n");
        let text = String::from_utf8(read("boot.cmd")).expect("text");
        assert!(text.contains("hello.zimage"), "{text}");
        assert_eq!(read("boot.scr"), script::with_header(&text));
    }

    #[test]
    fn the_same_parts_give_the_same_bytes() {
        assert!(card().bytes().expect("it fits") == card().bytes().expect("it fits"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let card = |u_boot: usize, image: usize| {
            Card::new(vec![1; u_boot], "a", vec![1; image], &[]).bytes()
        };
        let error = card(PARTITION_AT, 1).expect_err("too long").to_string();
        assert!(error.contains("U-Boot"), "{error}");
        let error = card(1, CARD).expect_err("too long").to_string();
        assert!(error.contains("do not fit"), "{error}");
    }

    #[test]
    fn a_written_card_has_its_bytes_and_holes() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("sd.img");
        let card = card();
        card.write(&path).expect("it can be written");
        let written = std::fs::read(&path).expect("it is there");
        assert!(written == card.bytes().expect("it fits"));
        let blocks = path.metadata().expect("it is there").blocks();
        assert!((blocks * 512) < CARD as u64 / 8, "{blocks} blocks");
    }
}
