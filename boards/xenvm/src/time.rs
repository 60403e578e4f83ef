//! The time of day, from Xen; the clock itself is the generic timer, as on every board.
//!
//! The wall clock in a domain's shared info page is that of the moment when the counter which it pairs
//! with was 0. On ARM this is the domain's own virtual counter: Xen adds the age of the host at which
//! that counter began (`domain_vtimer_init` in Xen's `arch/arm/vtimer.c`).

use crate::xen::Xen;
use core::time::Duration;
use landfall::BoardClock;
use landfall_arch::timer;
use landfall_bare_metal::time;

/// Reads the time of day; Xen has none when nobody told it.
pub(crate) fn read(xen: &Xen) -> BoardClock {
    let start = xen.channels.shared_info(|info| info.wall_clock_at_start());
    match (start, age()) {
        (Some(start), Some(age)) => time::board_clock("Xen", start.saturating_add(age)),
        _ => BoardClock::None,
    }
}

/// Returns how long the virtual counter has run; `None` where it does not say how fast it is.
fn age() -> Option<Duration> {
    let (count, hertz) = (timer::count(), timer::frequency_hz());
    let seconds = count.checked_div(hertz)?;
    let rest_ns = u128::from(count % hertz) * 1_000_000_000 / u128::from(hertz);
    Some(Duration::new(seconds, rest_ns as u32))
}
