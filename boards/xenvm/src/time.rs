//! The time of day, from Xen; the clock itself is the generic timer, as on every board.
//!
//! Xen keeps the wall clock of the moment when its system time was 0, and on ARM gives its system
//! time to guests only by way of the run state of a virtual CPU.

use crate::xen::Xen;
use core::time::Duration;
use landfall_arch::boot_log;
use landfall_bare_metal::time;
use xen_arm::hypercall;

/// Sets the time of day.
pub(crate) fn init(xen: &Xen) {
    boot_log!("asking Xen for the time of day");
    let Some(start) = xen.channels.shared_info(|info| info.wall_clock_at_start()) else {
        return boot_log!("nobody has told Xen the time of day: it is not known");
    };
    match hypercall::system_time_ns() {
        Ok(nanoseconds) => {
            let seconds = (start + Duration::from_nanos(nanoseconds)).as_secs();
            boot_log!("wall clock: {seconds} s since 1970-01-01 UTC, from Xen");
            time::set_unix_seconds(seconds);
        }
        Err(error) => boot_log!("Xen's system time: {error}; the time of day is not known"),
    }
}
