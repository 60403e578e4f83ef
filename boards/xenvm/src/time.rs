//! The time of day, from Xen; the clock itself is the generic timer, as on every board.
//!
//! The wall clock in a domain's shared info page is that of the moment when the counter which it pairs
//! with was 0. On ARM this is the domain's own virtual counter: Xen adds the age of the host at which
//! that counter began (`domain_vtimer_init` in Xen's `arch/arm/vtimer.c`).

use crate::xen::Xen;
use landfall_arch::{boot_log, timer};
use landfall_bare_metal::time;

/// Sets the time of day.
pub(crate) fn init(xen: &Xen) {
    boot_log!("asking Xen for the time of day");
    let start = xen.channels.shared_info(|info| info.wall_clock_at_start());
    match (start, timer::count().checked_div(timer::frequency_hz())) {
        (Some(start), Some(age_s)) => {
            let seconds = start.as_secs().saturating_add(age_s);
            boot_log!("wall clock: {seconds} s since 1970-01-01 UTC, from Xen");
            time::set_unix_seconds(seconds);
        }
        (None, _) => boot_log!("nobody has told Xen the time of day: it is not known"),
        (_, None) => boot_log!("the timer has no frequency: the time of day is not known"),
    }
}
