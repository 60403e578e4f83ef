//! The last log lines, kept in memory: for [`log_history`], and for a crash's report.
//!
//! They are finer than the console's: what explains a crash is often a line that nobody wanted to see before.
//! A report has only what the console has not shown already.

use crate::{
    arguments::{Argument, ArgumentError, LogFilter, Words, argument},
    platform::Platform,
};
use alloc::string::String;
use core::cell::{Cell, RefCell};
use critical_section::Mutex;
use log::Metadata;

pub(crate) const ARGUMENT: Argument<'static> = argument!(
    "R",
    "history",
    "LogFilter",
    "debug",
    "which log lines are kept for the report of a crash, as log"
);

/// Bytes of lines that are kept.
const ROOM: usize = 8192;
/// A longer line is cut, so that one alone cannot drive all others out.
const LONGEST: usize = 512;

/// What a line begins with here: whether the console shows it.
const SHOWN: u8 = 1;
const HIDDEN: u8 = 2;

static RING: Mutex<RefCell<Ring>> = Mutex::new(RefCell::new(Ring::new()));
/// Which lines are kept; until the arguments are read, those up to `debug`.
static FILTER: Mutex<Cell<LogFilter>> = Mutex::new(Cell::new(LogFilter::DEBUG));

/// Returns the last log lines, about 8 KiB of them, the oldest first: also those that the console does not
/// show, down to the level that boot argument `history` says.
pub fn log_history() -> String {
    let mut text = String::new();
    critical_section::with(|cs| {
        RING.borrow_ref(cs).each_line(|_, line| {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        });
    });
    text
}

pub(super) fn keeps(metadata: &Metadata<'_>) -> bool {
    let filter = critical_section::with(|cs| FILTER.borrow(cs).get());
    metadata.level() <= filter.level(metadata.target())
}

pub(super) fn configure(
    platform: &'static dyn Platform,
    words: &Words,
) -> Result<(), ArgumentError> {
    let filter = words.value(ARGUMENT.key())?.unwrap_or(LogFilter::DEBUG);
    critical_section::with(|cs| FILTER.borrow(cs).set(filter));
    log::set_max_level(log::max_level().max(filter.most()));
    platform.set_crash_report(report);
    Ok(())
}

/// Hands over the lines that the console has not shown.
fn report(write: &mut dyn FnMut(&[u8])) {
    critical_section::with(|cs| {
        // Taken when writing a line crashed.
        let Ok(ring) = RING.borrow(cs).try_borrow() else {
            return;
        };
        let mut title: &[u8] = b"log lines that were not shown:\n";
        ring.each_line(|mark, line| {
            if mark == HIDDEN {
                for part in [core::mem::take(&mut title), b"  ", line, b"\n"] {
                    write(part);
                }
            }
        });
    });
}

/// A line on its way into the history, which takes it whole.
pub(super) struct Line {
    mark: u8,
    text: [u8; LONGEST],
    length: usize,
}

impl Line {
    pub(super) fn begin(shown: bool) -> Self {
        Self {
            mark: if shown { SHOWN } else { HIDDEN },
            text: [0; LONGEST],
            length: 0,
        }
    }

    /// Appends text, as much as there is room for.
    pub(super) fn write(&mut self, text: &str) {
        let room = &mut self.text[self.length..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = match &mut self.text[..self.length] {
            [text @ .., b'\n'] => text,
            text => text,
        };
        // Line feeds within are spaces, and nothing looks like a mark.
        for byte in text.iter_mut().filter(|byte| **byte < b' ') {
            *byte = b' ';
        }
        critical_section::with(|cs| {
            let mut ring = RING.borrow_ref_mut(cs);
            for part in [&[self.mark][..], text, b"\n"] {
                ring.push(part);
            }
        });
    }
}

/// The lines, each a mark, text and a line feed.
struct Ring {
    bytes: [u8; ROOM],
    /// Where the next byte goes: bytes behind it are the oldest.
    next: usize,
}

impl Ring {
    const fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            next: 0,
        }
    }

    /// Appends at most [`ROOM`] bytes.
    fn push(&mut self, bytes: &[u8]) {
        let until_end = bytes.len().min(ROOM - self.next);
        let (first, second) = bytes.split_at(until_end);
        self.bytes[self.next..][..first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.next = (self.next + bytes.len()) % ROOM;
    }

    /// Calls `each` with the mark and text of each line that is whole.
    fn each_line(&self, mut each: impl FnMut(u8, &[u8])) {
        let (newer, older) = self.bytes.split_at(self.next);
        let mut line = ([0; LONGEST + 1], 0);
        for &byte in older.iter().chain(newer) {
            let (text, length) = &mut line;
            match byte {
                0 => {}
                b'\n' => {
                    // What the ring's end has cut has no mark.
                    if let [mark @ (SHOWN | HIDDEN), text @ ..] = &text[..*length] {
                        each(*mark, text);
                    }
                    *length = 0;
                }
                byte if *length < text.len() => {
                    text[*length] = byte;
                    *length += 1;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    fn push(ring: &mut Ring, mark: u8, text: &str) {
        ring.push(&[mark]);
        ring.push(text.as_bytes());
        ring.push(b"\n");
    }

    fn lines(ring: &Ring) -> Vec<(u8, String)> {
        let mut lines = Vec::new();
        ring.each_line(|mark, line| {
            lines.push((mark, String::from_utf8(line.to_vec()).expect("as written")));
        });
        lines
    }

    #[test]
    fn an_empty_ring_has_no_lines() {
        assert!(lines(&Ring::new()).is_empty());
    }

    #[test]
    fn lines_come_out_in_order_with_their_marks() {
        let mut ring = Ring::new();
        push(&mut ring, SHOWN, "one");
        push(&mut ring, HIDDEN, "two");
        assert_eq!(
            lines(&ring),
            [(SHOWN, "one".into()), (HIDDEN, "two".into())]
        );
    }

    #[test]
    fn the_oldest_lines_go_first_and_none_is_cut() {
        let mut ring = Ring::new();
        for number in 0..5000 {
            push(&mut ring, SHOWN, &format!("line {number}"));
            let kept = lines(&ring);
            let first = number + 1 - kept.len();
            for (line, expected) in kept.iter().zip(first..) {
                assert_eq!(line.1, format!("line {expected}"));
            }
        }
        assert!(lines(&ring).len() > 700);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut line = Line::begin(true);
        line.write(&"x".repeat(3 * ROOM));
        line.write("more\nof it");
        drop(line);
        let history = log_history();
        let last = history.lines().last().expect("just written");
        assert_eq!(last, "x".repeat(LONGEST));
    }
}
