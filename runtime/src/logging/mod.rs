//! Log lines on the console, as plain text: `[    1.234567] INFO  net: …`.
//!
//! `log=` says which, by module. With feature `log-history` the last of them, and of finer ones, are kept
//! too (`history`). With feature `syslog` they go to a server, too (`syslog`). With feature `defmt` the console has frames instead of text (`frames`).

#[cfg(feature = "defmt")]
mod frames;
#[cfg(feature = "log-history")]
pub(crate) mod history;

#[cfg(feature = "syslog")]
pub(crate) mod syslog;

use crate::{
    Identity,
    arguments::{Argument, ArgumentError, LogFilter, Words},
    platform::{self, Platform},
};
use core::{
    cell::Cell,
    fmt::{self, Write},
};
use critical_section::Mutex;
use log::{Level, Log, Metadata, Record};

/// The arguments of this image's ways to log, beside `log`.
pub(crate) const ARGUMENTS: &[Argument<'static>] = &[
    #[cfg(feature = "log-history")]
    history::ARGUMENT,
    #[cfg(feature = "syslog")]
    syslog::ARGUMENT,
];

/// What the console shows; until the arguments are read, what is `info` or worse.
static FILTER: Mutex<Cell<LogFilter>> = Mutex::new(Cell::new(LogFilter::INFO));

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        shows(metadata) || keeps(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let (shown, kept) = (shows(record.metadata()), keeps(record.metadata()));
        let Some(platform) = platform::get().filter(|_| shown || kept) else {
            return;
        };
        #[cfg(feature = "syslog")]
        if shown {
            syslog::keep(record);
        }
        #[cfg(feature = "defmt")]
        if shown {
            landfall_log::frame(record);
        }
        if cfg!(all(feature = "defmt", not(feature = "log-history"))) {
            return;
        }
        let mut line = Line {
            platform: Some(platform).filter(|_| shown && !cfg!(feature = "defmt")),
            #[cfg(feature = "log-history")]
            history: history::Line::begin(shown),
        };
        // A console cannot fail in a way that could be reported anywhere.
        let _ = line.write_str(Stamp::of(platform.now_us()).text());
        let _ = line.write_str(name(record.level()));
        let _ = writeln!(line, " {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

fn shows(metadata: &Metadata<'_>) -> bool {
    let filter = critical_section::with(|cs| FILTER.borrow(cs).get());
    metadata.level() <= filter.level(metadata.target())
}

/// Returns whether a line is for others than the console, too.
#[cfg(feature = "log-history")]
fn keeps(metadata: &Metadata<'_>) -> bool {
    history::keeps(metadata)
}

#[cfg(not(feature = "log-history"))]
fn keeps(_: &Metadata<'_>) -> bool {
    false
}

/// A level's name, as long as the longest.
fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

/// What a line begins with: `[    1.234567] `, seconds since boot. Formatting it digit by digit takes a fifth of what
/// the macros of `core::fmt` take, and there may be a line for every request.
struct Stamp {
    text: [u8; Stamp::LONGEST],
    start: usize,
}

impl Stamp {
    /// As many digits as `u64` has, a point and what is around them.
    const LONGEST: usize = 24;

    fn of(now_us: u64) -> Self {
        let mut stamp = Self {
            text: [b' '; Self::LONGEST],
            start: Self::LONGEST - 1,
        };
        stamp.put(b']');
        let mut left = now_us;
        for place in 0.. {
            if place == 6 {
                stamp.put(b'.');
            }
            if left == 0 && place > 6 {
                let shortest = Self::LONGEST - "00000.000000] ".len();
                stamp.start = stamp.start.min(shortest);
                break;
            }
            stamp.put(b'0' + (left % 10) as u8);
            left /= 10;
        }
        stamp.put(b'[');
        stamp
    }

    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.text[self.start] = byte;
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.text[self.start..]).unwrap_or_default()
    }
}

/// A line on its way to all who want it.
struct Line {
    platform: Option<&'static dyn Platform>,
    #[cfg(feature = "log-history")]
    history: history::Line,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(platform) = self.platform {
            platform.write(text.as_bytes());
        }
        #[cfg(feature = "log-history")]
        self.history.write(text);
        Ok(())
    }
}

/// Starts logging, at level `info` until the boot arguments say otherwise.
pub(crate) fn init() {
    // Fails only when a logger is set already, which is then this one.
    let _ = log::set_logger(&Lines);
    set_filter(LogFilter::INFO);
}

fn set_filter(filter: LogFilter) {
    critical_section::with(|cs| FILTER.borrow(cs).set(filter));
    log::set_max_level(filter.most());
}

/// Logs as the arguments say from now on.
pub(crate) fn configure(
    platform: &'static dyn Platform,
    app: &'static Identity,
    words: &Words,
) -> Result<(), ArgumentError> {
    if let Some(filter) = words.value("log")? {
        set_filter(filter);
    }
    #[cfg(feature = "log-history")]
    history::configure(platform, words)?;
    #[cfg(feature = "syslog")]
    syslog::configure(words, app)?;
    let _ = (platform, app);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn stamps_are_seconds_since_boot() {
        for (us, text) in [
            (0, "[    0.000000] "),
            (7, "[    0.000007] "),
            (1_234_567, "[    1.234567] "),
            (99_999_999_999, "[99999.999999] "),
            (100_000_000_000, "[100000.000000] "),
            (u64::MAX, "[18446744073709.551615] "),
        ] {
            assert_eq!(Stamp::of(us).text(), text);
        }
    }
}
