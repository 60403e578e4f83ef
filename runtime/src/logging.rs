//! Log lines as plain text on the console: `[    1.234567] INFO  net: …`.

use crate::platform;
use core::fmt::{self, Write};
use log::{LevelFilter, Log, Metadata, Record};

struct ConsoleLog;

impl Log for ConsoleLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let Some(platform) = platform::get().filter(|_| self.enabled(record.metadata())) else {
            return;
        };
        let now = platform.now_us();
        // A console cannot fail in a way that could be reported anywhere.
        let _ = writeln!(
            Line(platform),
            "[{:5}.{:06}] {:<5} {}: {}",
            now / 1_000_000,
            now % 1_000_000,
            record.level(),
            record.target(),
            record.args()
        );
    }

    fn flush(&self) {}
}

struct Line(&'static dyn platform::Platform);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Starts logging, at level `info` until the boot arguments say otherwise.
pub(crate) fn init() {
    // Fails only when a logger is set already, which is then this one.
    let _ = log::set_logger(&ConsoleLog);
    set_level(LevelFilter::Info);
}

pub(crate) fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}
