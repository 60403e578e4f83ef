//! The defmt frames in what a guest prints, made text again.
//!
//! The guest's side (runtime/src/logging/frames.rs) says what a frame looks like on a console among plain text.
//! The texts are in the ELF file that the image was made from: a frame has their places in its section `.defmt`.

use anyhow::{Context, Result, ensure};
use defmt_decoder::Table;
use object::{Object, ObjectSection, SectionIndex};

const START: u8 = 0x02;
const END: u8 = 0;
const ESCAPE: u8 = 0x10;
const FLIPPED: u8 = 0x40;

/// No guest sends a longer frame.
const LONGEST: usize = 16 << 10;

/// A guest takes places of texts from addresses, of which 16 bits are left: those within a page, and of where the
/// image was loaded.
const PAGE: u16 = 4096;

/// Makes frames text.
pub(crate) struct Frames {
    elf: Vec<u8>,
    /// The texts at their places in frames, once there was a frame.
    table: Option<Table>,
    frame: Option<Vec<u8>>,
    at_line_start: bool,
}

impl Frames {
    /// Reads the texts of an ELF file; `None` when it is of an image that has none.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn of(elf: &[u8]) -> Result<Option<Self>> {
        if table(elf, 0)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            elf: elf.to_owned(),
            table: None,
            frame: None,
            at_line_start: true,
        }))
    }

    /// Takes what the guest wrote; returns it with lines of text for frames.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.take(byte, &mut text);
        }
        text
    }

    fn take(&mut self, byte: u8, text: &mut Vec<u8>) {
        let Some(mut frame) = self.frame.take() else {
            return self.take_text(byte, text);
        };
        if byte != END {
            frame.push(byte);
            // One that does not end is none.
            self.frame = Some(frame).filter(|frame| frame.len() < LONGEST);
            return;
        }
        if !self.at_line_start {
            text.push(b'\n');
        }
        text.extend(self.line(&unescaped(&frame)).into_bytes());
        text.push(b'\n');
        self.at_line_start = true;
    }

    fn take_text(&mut self, byte: u8, text: &mut Vec<u8>) {
        match byte {
            START => self.frame = Some(Vec::new()),
            // The end of a frame whose start was before this program's.
            END => {}
            byte => {
                text.push(byte);
                self.at_line_start = byte == b'\n';
            }
        }
    }

    /// A frame as the line that the guest would have printed without frames.
    fn line(&mut self, frame: &[u8]) -> String {
        let line = match &self.table {
            Some(table) => line(table, frame),
            None => self.find_table(frame),
        };
        line.unwrap_or_else(|| {
            let length = frame.len();
            format!("[a log line of {length} bytes that this ELF file does not explain]")
        })
    }

    /// Finds where the image was loaded, as far as it matters, by a frame's being there. Returns that as a line.
    fn find_table(&mut self, frame: &[u8]) -> Option<String> {
        (0..u16::MAX / PAGE + 1).find_map(|page| {
            let table = table(&self.elf, page * PAGE).ok()??;
            let line = line(&table, frame)?;
            self.table = Some(table);
            Some(line)
        })
    }
}

fn line(table: &Table, frame: &[u8]) -> Option<String> {
    let mut decoder = table.new_stream_decoder();
    decoder.received(frame);
    decoder.received(&[END]);
    let frame = decoder.decode().ok()?;
    let time = frame.display_timestamp()?.to_string();
    let (seconds, fraction) = time.split_once('.')?;
    let level = frame.level()?.as_str().to_uppercase();
    let message = frame.display_message();
    Some(format!("[{seconds:>5}.{fraction}] {level:<5} {message}"))
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.iter();
    let mut plain = Vec::new();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            ESCAPE => bytes.next().map_or(ESCAPE, |byte| byte ^ FLIPPED),
            byte => byte,
        });
    }
    plain
}

/// The texts of an ELF file at places that are `shift` further; `None` where there are none.
fn table(elf: &[u8], shift: u16) -> Result<Option<Table>> {
    let file = object::File::parse(elf).context("this is no ELF file, or a damaged one")?;
    let Some(section) = file.section_by_name(".defmt") else {
        return Ok(None);
    };
    ensure!(
        section.size() <= PAGE.into(),
        "there are more than {PAGE} texts of log lines"
    );
    let mut moved = elf.to_vec();
    move_symbols(&mut moved, &file, section.index(), shift)?;
    Table::parse(&moved).map_err(|error| error.context("the texts of log lines cannot be read"))
}

/// Adds `shift` to the values of a section's symbols, in the file's own table (System V ABI, "Symbol Table").
fn move_symbols(
    elf: &mut [u8],
    file: &object::File<'_>,
    section: SectionIndex,
    shift: u16,
) -> Result<()> {
    /// Bytes of an entry, where its value is, and where its section's number.
    const OF_32_BITS: (usize, usize, usize) = (16, 4, 14);
    const OF_64_BITS: (usize, usize, usize) = (24, 8, 6);
    let (entry, value, number) = match file.is_64() {
        true => OF_64_BITS,
        false => OF_32_BITS,
    };
    let symbols = file.section_by_name(".symtab");
    let range = symbols.and_then(|symbols| symbols.file_range());
    let (start, bytes) = range.context("the ELF file has no symbols")?;
    let (start, bytes) = (usize::try_from(start)?, usize::try_from(bytes)?);
    let table = elf.get_mut(start..).and_then(|rest| rest.get_mut(..bytes));
    let table = table.context("the symbols lie outside of the file")?;
    for symbol in table.chunks_exact_mut(entry) {
        let of = u16::from_le_bytes([symbol[number], symbol[number + 1]]);
        if usize::from(of) == section.0 {
            let old = u16::from_le_bytes([symbol[value], symbol[value + 1]]);
            symbol[value..value + 2].copy_from_slice(&old.wrapping_add(shift).to_le_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_texts_have_no_frames() {
        assert!(Frames::of(b"no ELF file").is_err());
        // This program itself.
        let path = std::env::current_exe().expect("this program has a path");
        let elf = std::fs::read(path).expect("it can be read");
        assert!(Frames::of(&elf).expect("a sound program").is_none());
    }

    #[test]
    fn escaped_bytes_come_back() {
        assert_eq!(unescaped(b"a\x10\x4a\x10\x50b"), b"a\n\x10b");
        assert_eq!(unescaped(b"a\x10"), b"a\x10");
    }

    #[test]
    fn text_passes_and_frames_that_nobody_explains_are_said() {
        let mut frames = Frames {
            elf: Vec::new(),
            table: None,
            frame: None,
            at_line_start: true,
        };
        let said = "[a log line of 3 bytes that this ELF file does not explain]\n";
        // The rest of a frame that began before, then text, and frames in pieces.
        assert_eq!(frames.feed(b"\0boot: one\n\0\x02ab"), b"boot: one\n");
        assert_eq!(frames.feed(b"c\0"), said.as_bytes());
        let text = frames.feed(b"half a line\x02abc\0two\n");
        assert_eq!(text, format!("half a line\n{said}two\n").into_bytes());
        // One that never ends.
        frames.feed(&[b"\x02", &[b'x'; 2 * LONGEST][..]].concat());
        assert!(frames.frame.is_none());
    }
}
