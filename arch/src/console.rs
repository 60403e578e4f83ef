//! The console of early boot and of crashes: whatever can take bytes right now.
//!
//! A board sets the writer as soon as it knows a UART's address, before the MMU is on; panics and
//! CPU exceptions print through it too. The runtime's log lines take the same way.

use core::{cell::Cell, fmt};
use critical_section::Mutex;

/// Writes all bytes to a console, waiting for room where it must.
pub type Writer = fn(&[u8]);

static WRITER: Mutex<Cell<Option<Writer>>> = Mutex::new(Cell::new(None));

/// Sets where console output goes from now on.
pub fn set_writer(writer: Writer) {
    critical_section::with(|cs| WRITER.borrow(cs).set(Some(writer)));
}

/// Writes bytes to the console; before [`set_writer`] they are dropped.
pub fn write(bytes: &[u8]) {
    if let Some(writer) = critical_section::with(|cs| WRITER.borrow(cs).get()) {
        writer(bytes);
    }
}

/// [`fmt::Write`] on [`write()`].
#[derive(Clone, Copy, Debug)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

/// Prints one line of the boot log: `boot: …`.
///
/// Each step that can fail says what it is about to do through this macro first.
#[macro_export]
macro_rules! boot_log {
    ($($arguments:tt)*) => {{
        let _ = core::fmt::Write::write_fmt(
            &mut $crate::console::Console,
            format_args!("boot: {}\n", format_args!($($arguments)*)),
        );
    }};
}
