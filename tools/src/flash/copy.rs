//! Writes an image, and reads it back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Advice, fadvise};

use crate::process;

/// How much is written at a time.
const BLOCK: usize = 1 << 20;

/// The end of the first sector: what every partition table of this kind ends with, and where its entries are.
const SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xaa]);
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const SECTOR: u64 = 512;

/// Refuses an image that is none, or not a whole one; returns its bytes.
pub(crate) fn check(image: &mut File) -> Result<u64> {
    let bytes = image.metadata()?.len();
    let mut first = [0; SECTOR as usize];
    image.rewind()?;
    let read = image.read_exact(&mut first);
    let (at, signature) = SIGNATURE;
    ensure!(
        read.is_ok() && first[at..] == signature,
        "it has no partition table: is it the image of a card?"
    );
    let end = (0..4).map(|index| {
        let entry = &first[ENTRIES + index * ENTRY..][..ENTRY];
        let word = |at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        (u64::from(word(8)) + u64::from(word(12))) * SECTOR
    });
    let end = end.max().unwrap_or(0);
    ensure!(
        bytes >= end,
        "it has {bytes} bytes, and its partitions end at {end}: it is not whole"
    );
    Ok(bytes)
}

/// Writes `image`, of `bytes` bytes, to the start of `card`. Where the image has only zeros, what is zero already stays.
/// `progress` is told how many bytes are done.
pub(crate) fn write(
    image: &mut File,
    card: &mut File,
    bytes: u64,
    progress: impl Fn(u64),
) -> Result<()> {
    let mut wanted = vec![0; BLOCK];
    let mut there = vec![0; BLOCK];
    image.rewind()?;
    for at in (0..bytes).step_by(BLOCK) {
        let block = (bytes - at).min(BLOCK as u64) as usize;
        let (wanted, there) = (&mut wanted[..block], &mut there[..block]);
        let half = || {
            format!(
                "the card has the first {at} of {bytes} bytes, and does not start: write it again"
            )
        };
        process::check_stopped().with_context(half)?;
        image
            .read_exact(wanted)
            .with_context(|| format!("cannot read the image at byte {at}; {}", half()))?;
        let failed = || format!("cannot write at byte {at}; {}", half());
        if wanted.iter().all(|byte| *byte == 0) {
            card.seek(SeekFrom::Start(at)).with_context(failed)?;
            if card.read_exact(there).is_ok() && there.iter().all(|byte| *byte == 0) {
                progress(at + block as u64);
                continue;
            }
        }
        card.seek(SeekFrom::Start(at)).with_context(failed)?;
        card.write_all(wanted).with_context(failed)?;
        progress(at + block as u64);
    }
    card.sync_all()
        .context("the card did not take all of it, and does not start: write it again")
}

/// Reads `bytes` bytes back from the card itself and compares them with the image.
pub(crate) fn compare(
    image: &mut File,
    card: &mut File,
    bytes: u64,
    progress: impl Fn(u64),
) -> Result<()> {
    // What was just written would be read from memory.
    let _no_cache = fadvise(&*card, 0, None, Advice::DontNeed);
    let (mut wanted, mut there) = (vec![0; BLOCK], vec![0; BLOCK]);
    image.rewind()?;
    card.rewind()?;
    for at in (0..bytes).step_by(BLOCK) {
        process::check_stopped().context("it is written, but was not compared")?;
        let block = (bytes - at).min(BLOCK as u64) as usize;
        let (wanted, there) = (&mut wanted[..block], &mut there[..block]);
        image.read_exact(wanted).context("cannot read the image")?;
        card.read_exact(there)
            .with_context(|| format!("cannot read the card at byte {at}: it is bad"))?;
        if let Some(offset) = wanted
            .iter()
            .zip(&*there)
            .position(|(left, right)| left != right)
        {
            bail!(
                "byte {} of the card is not what was written: it is bad",
                at + offset as u64
            );
        }
        progress(at + block as u64);
    }
    Ok(())
}

/// Opens the image.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("there is room");
        file
    }

    /// Two and a half blocks: a partition table, zeros, something.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 5 * BLOCK / 2];
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        image[454..458].copy_from_slice(&1u32.to_le_bytes());
        let sectors = (image.len() as u32) / 512 - 1;
        image[458..462].copy_from_slice(&sectors.to_le_bytes());
        image[2 * BLOCK..].fill(7);
        image
    }

    #[test]
    fn all_is_written_zeros_too_and_found_again() {
        let image = image();
        let bytes = image.len() as u64;
        let mut source = file(&image);
        assert_eq!(check(&mut source).expect("it is whole"), bytes);
        let mut card = file(&vec![0xff; 3 * BLOCK]);
        let done = std::cell::Cell::new(0);
        write(&mut source, &mut card, bytes, |it| done.set(it)).expect("it can be written");
        assert_eq!(done.get(), bytes);
        compare(&mut source, &mut card, bytes, |_| {}).expect("the same");
        let mut written = Vec::new();
        card.rewind().expect("a file");
        card.read_to_end(&mut written).expect("a file");
        assert!(written[..image.len()] == image[..]);
        assert!(written[image.len()..].iter().all(|byte| *byte == 0xff));
    }

    #[test]
    fn a_card_that_changes_what_it_is_given_is_noticed() {
        let image = image();
        let bytes = image.len() as u64;
        let (mut source, mut card) = (file(&image), file(&image));
        card.seek(SeekFrom::Start(2 * BLOCK as u64 + 5))
            .expect("a file");
        card.write_all(&[8]).expect("a file");
        let error = compare(&mut source, &mut card, bytes, |_| {}).expect_err("another byte");
        assert!(error.to_string().contains("byte 2097157 "), "{error}");
    }

    #[test]
    fn what_is_no_whole_image_is_refused() {
        let image = image();
        let error = |bytes: &[u8]| check(&mut file(bytes)).expect_err("refused").to_string();
        assert!(error(&image[..image.len() - 512]).contains("not whole"));
        assert!(error(&[0; 4096]).contains("no partition table"));
        assert!(error(&[]).contains("no partition table"));
    }
}
