//! How the board stops: a crash restarts it by the watchdog; otherwise it stays as it is, for it cannot turn itself off.

use crate::watchdog;
use landfall_arch::{boot_log, crash};
use landfall_bare_metal::power;

/// Stops with `code`.
pub(crate) fn stop(code: u8) -> ! {
    if code == crash::EXIT_CODE {
        boot_log!("restarting");
        watchdog::reset();
    } else {
        watchdog::stop();
    }
    power::stop(code)
}
