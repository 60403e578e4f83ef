//! Arguments in the file of an image, flat or ELF, or of a program.

use crate::Argument;
use alloc::vec::Vec;

/// What begins an argument's text, before the letter that says whose it is: ASCII's group separator.
const START: u8 = 0x1d;

/// No argument's text is longer.
const LONGEST: usize = 1024;

/// Returns the arguments that are declared in a program's file: the app's, then the runtime's, each by
/// their keys.
///
/// Whatever else is in the file does no harm: only texts count that are whole.
pub fn find(file: &[u8]) -> Vec<Argument<'_>> {
    let starts = file.iter().enumerate();
    let starts = starts.filter(|(_, byte)| **byte == START);
    let mut found: Vec<Argument<'_>> = starts
        .filter_map(|(at, _)| argument_at(&file[at..]))
        .collect();
    found.sort_by_key(|argument| (!argument.is_apps(), argument.key()));
    found.dedup();
    found
}

/// Returns the argument whose text begins here.
fn argument_at(file: &[u8]) -> Option<Argument<'_>> {
    let file = &file[..file.len().min(LONGEST)];
    let mut ends = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let (_, (end, _)) = (ends.next()?, ends.next()?);
    let text = str::from_utf8(&file[..=end]).ok()?;
    let [whose, key, ..] = parts(text)?;
    let is_key = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    let whole = matches!(whose, "A" | "R") && !key.is_empty() && key.chars().all(is_key);
    whole.then_some(Argument(text))
}

/// Takes an argument's text apart: whose it is, its key, type, default and help.
fn parts(text: &str) -> Option<[&str; 5]> {
    let (whose, text) = text.get(1..)?.split_once("  ")?;
    let (key, text) = text.split_once(": ")?;
    let (type_name, text) = text.split_once(" = ")?;
    let (default, help) = text.split_once('\n')?;
    Some([whose, key, type_name, default, help.trim()])
}

impl<'a> Argument<'a> {
    fn part(&self, number: usize) -> &'a str {
        parts(self.0).map_or("", |parts| parts[number])
    }

    /// Returns whether it is the app's own, and not the runtime's.
    pub fn is_apps(&self) -> bool {
        self.part(0) == "A"
    }

    /// Returns the type of its value: `u16`.
    pub fn type_name(&self) -> &'a str {
        self.part(2)
    }

    /// Returns the value when it is not given, as the source has it.
    pub fn default(&self) -> &'a str {
        self.part(3)
    }

    /// Returns what it does.
    pub fn help(&self) -> &'a str {
        self.part(4)
    }
}
