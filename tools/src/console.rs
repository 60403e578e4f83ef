//! What a guest prints: cut into lines, watched for its end, and with names for code addresses.
//!
//! A backtrace on the console holds addresses relative to the image (`#0 image+0x1a2b4`); the ELF file
//! that the image was made from knows their function, file and line. It also has the texts of an image that logs
//! by defmt (`frames`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::frames::Frames;

/// What starts an address on the console.
const ADDRESS: &str = "image+0x";

/// How many of the last lines are kept for error messages.
const KEPT: usize = 10;

/// Names code addresses.
pub(crate) struct Symboliser {
    loader: addr2line::Loader,
    root: PathBuf,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    function: String,
    location: Option<String>,
}

impl Symboliser {
    /// Reads the debug information of `elf`; paths below `root` are shown relative to it. None when the
    /// file cannot be read: then addresses stay as they are.
    pub(crate) fn open(elf: &Path, root: &Path) -> Option<Self> {
        let loader = addr2line::Loader::new(elf).ok()?;
        Some(Self {
            loader,
            root: root.to_owned(),
        })
    }

    /// Returns the functions at `address`, the innermost first: the others are those it is inlined in.
    fn places(&self, address: u64) -> Vec<Place> {
        let mut places = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame
                    .function
                    .and_then(|name| Some(name.demangle().ok()?.into_owned()));
                let location = frame
                    .location
                    .and_then(|at| Some((at.file?.to_owned(), at.line)));
                places.push(Place {
                    function: name.map_or_else(|| "?".to_owned(), |name| without_hash(&name)),
                    location: location.map(|(file, line)| self.shown(&file, line)),
                });
            }
        }
        if places.is_empty()
            && let Some(symbol) = self.loader.find_symbol(address)
        {
            places.push(Place {
                function: demangled(symbol),
                location: None,
            });
        }
        places
    }

    fn shown(&self, file: &str, line: Option<u32>) -> String {
        let file = Path::new(file);
        let file = file.strip_prefix(&self.root).unwrap_or(file).display();
        line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"))
    }
}

fn demangled(symbol: &str) -> String {
    let name = addr2line::demangle_auto(symbol.into(), None);
    without_hash(&name)
}

/// Removes the hash with which older Rust symbol names end.
fn without_hash(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((path, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            path.to_owned()
        }
        _ => name.to_owned(),
    }
}

/// Appends ` function (file:line)` to a line with an address, and a line for each function that it is
/// inlined in.
fn symbolise(line: &str, places: impl Fn(u64) -> Vec<Place>) -> String {
    let Some(address) = address_in(line) else {
        return line.to_owned();
    };
    let named = |place: &Place| match &place.location {
        Some(location) => format!("{} ({location})", place.function),
        None => place.function.clone(),
    };
    let mut places = places(address).into_iter();
    let Some(innermost) = places.next() else {
        return line.to_owned();
    };
    let mut text = format!("{line} {}", named(&innermost));
    let indent = line.len() - line.trim_start().len() + 3;
    for outer in places {
        text.push_str(&format!("\n{:indent$}inlined in {}", "", named(&outer)));
    }
    text
}

/// The address in a line of a backtrace. The guest prints where the call is, not where it returns to, so
/// it can be looked up as it stands.
fn address_in(line: &str) -> Option<u64> {
    let (_, after) = line.split_once(ADDRESS)?;
    let digits = after
        .split(|digit: char| !digit.is_ascii_hexdigit())
        .next()?;
    u64::from_str_radix(digits, 16).ok()
}

/// The last line of a machine that cannot turn itself off, before its code.
const STOPPED: &str = "boot: stopped with code ";

/// The output of a guest so far.
#[derive(Default)]
pub(crate) struct Console {
    symboliser: Option<Symboliser>,
    frames: Option<Frames>,
    partial: Vec<u8>,
    shown: usize,
    last: VecDeque<String>,
    death: Option<String>,
    error: Option<String>,
    url: Option<String>,
    stopped: Option<u8>,
    lines: usize,
}

impl Console {
    /// A console whose addresses `symboliser` names, and whose log lines `frames` reads.
    pub(crate) fn new(symboliser: Option<Symboliser>, frames: Option<Frames>) -> Self {
        Self {
            symboliser,
            frames,
            ..Self::default()
        }
    }

    /// The console of an image that was made from `elf`, in a workspace at `root`.
    pub(crate) fn of(elf: &Path, root: &Path) -> Self {
        // Without the file, or what is expected in it, the console stays as it comes.
        let data = std::fs::read(elf).unwrap_or_default();
        let frames = Frames::of(&data).ok().flatten();
        Self::new(Symboliser::open(elf, root), frames)
    }

    /// Takes what the guest wrote; returns what to show.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> String {
        let read = self.frames.as_mut().map(|frames| frames.feed(bytes));
        let mut text = String::new();
        for &byte in read.as_deref().unwrap_or(bytes) {
            if byte == b'\n' {
                text.push_str(&self.end_line());
            } else {
                self.partial.push(byte);
            }
        }
        text
    }

    /// Returns the part of an unfinished line that was not shown yet: a guest that hangs in the middle of
    /// a line has shown where.
    pub(crate) fn flush(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.partial[self.shown..]).into_owned();
        self.shown = self.partial.len();
        text
    }

    /// Ends the last line when the guest is gone.
    pub(crate) fn finish(&mut self) -> String {
        if self.partial.is_empty() {
            String::new()
        } else {
            self.end_line()
        }
    }

    fn end_line(&mut self) -> String {
        let bytes = std::mem::take(&mut self.partial);
        let shown = std::mem::take(&mut self.shown);
        let line = String::from_utf8_lossy(&bytes)
            .trim_end_matches('\r')
            .to_owned();
        self.notice(&line);
        if shown > 0 {
            return format!(
                "{}\n",
                String::from_utf8_lossy(&bytes[shown..]).trim_end_matches('\r')
            );
        }
        let named = match &self.symboliser {
            Some(symboliser) => symbolise(&line, |address| symboliser.places(address)),
            None => line,
        };
        format!("{named}\n")
    }

    fn notice(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        self.lines += 1;
        if self.death.is_none() && (line.starts_with("PANIC:") || line.starts_with("EXCEPTION:")) {
            self.death = Some(line.to_owned());
        }
        if let Some((_, message)) = line.split_once("ERROR ") {
            self.error = Some(message.trim().to_owned());
        }
        if line.contains("listening on TCP port") {
            self.url = line
                .split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned);
        }
        if let Some(code) = line.strip_prefix(STOPPED) {
            self.stopped = code.trim().parse().ok();
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// The last lines.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// The code with which a machine has stopped that cannot turn itself off.
    pub(crate) fn stopped(&self) -> Option<u8> {
        self.stopped
    }

    /// The first `PANIC:` or `EXCEPTION:` line.
    pub(crate) fn death(&self) -> Option<&str> {
        self.death.as_deref()
    }

    /// The message of the last ERROR line.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The address at which the guest says that it listens.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Returns whether the guest has printed nothing at all.
    pub(crate) fn is_silent(&self) -> bool {
        self.lines == 0 && self.partial.is_empty()
    }

    /// The last line that is not empty.
    pub(crate) fn last_line(&self) -> Option<&str> {
        self.last.back().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(function: &str, location: Option<&str>) -> Place {
        Place {
            function: function.to_owned(),
            location: location.map(str::to_owned),
        }
    }

    #[test]
    fn addresses_get_names() {
        let line = symbolise("  #0 image+0x1a2b4", |address| {
            assert_eq!(address, 0x1a2b4);
            vec![place("app::main", Some("apps/hello/src/main.rs:7"))]
        });
        assert_eq!(
            line,
            "  #0 image+0x1a2b4 app::main (apps/hello/src/main.rs:7)"
        );
    }

    #[test]
    fn addresses_are_looked_up_as_they_stand() {
        assert_eq!(address_in("  #0 image+0x100"), Some(0x100));
        assert_eq!(address_in("  #10 image+0x100 and more"), Some(0x100));
        assert_eq!(address_in("no address here"), None);
        assert_eq!(address_in("image+0xzz"), None);
    }

    #[test]
    fn inlined_functions_get_lines_of_their_own() {
        let places = |_| vec![place("inner", Some("a.rs:1")), place("outer", None)];
        assert_eq!(
            symbolise("  #0 image+0x10", places),
            "  #0 image+0x10 inner (a.rs:1)\n     inlined in outer"
        );
    }

    #[test]
    fn unknown_addresses_stay_as_they_are() {
        assert_eq!(
            symbolise("  #0 image+0x10", |_| Vec::new()),
            "  #0 image+0x10"
        );
    }

    #[test]
    fn hashes_are_removed_from_names() {
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::b::help"), "a::b::help");
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut console = Console::default();
        assert_eq!(console.feed(b"boot: he"), "");
        assert_eq!(console.feed(b"re\r\nnext"), "boot: here\n");
        assert_eq!(console.flush(), "next");
        assert_eq!(console.flush(), "");
        assert_eq!(console.feed(b" line\n"), " line\n");
        assert_eq!(console.last_line(), Some("next line"));
    }

    #[test]
    fn a_dying_guest_is_noticed_once() {
        let mut console = Console::default();
        console.feed(b"PANIC: index out of range\n  at a.rs:1:2\nPANIC: again\n");
        assert_eq!(console.death(), Some("PANIC: index out of range"));
        let mut console = Console::default();
        console.feed(b"[    0.1] INFO  net: no PANIC: here\n");
        assert_eq!(console.death(), None);
    }

    #[test]
    fn the_address_is_read_from_the_console() {
        let mut console = Console::default();
        console.feed(
            b"[    0.013000] INFO  net: listening on TCP port 8080: http://10.0.2.15:8080/\n",
        );
        assert_eq!(console.url(), Some("http://10.0.2.15:8080/"));
    }

    #[test]
    fn the_last_error_is_kept() {
        let mut console = Console::default();
        console.feed(b"[    0.013000] ERROR main: unknown argument \"prot\"\n");
        assert_eq!(console.error(), Some("main: unknown argument \"prot\""));
    }
}
