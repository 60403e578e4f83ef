//! How the board stops: a crash restarts it by the watchdog; otherwise its power management chip turns it off, or it stays
//! as it is.

use crate::{gpio, pmic, watchdog};
use landfall_arch::{boot_log, crash};
use landfall_bare_metal::power;

/// Stops with `code`.
pub(crate) fn stop(code: u8) -> ! {
    if code == crash::EXIT_CODE {
        boot_log!("restarting");
        watchdog::reset();
    } else {
        watchdog::stop();
        gpio::darken();
        pmic::turn_off();
    }
    power::stop(code)
}
