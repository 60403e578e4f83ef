//! The clocks: the generic timer's virtual counter, in microseconds since boot, and the time of day
//! as the board found it.

use core::cell::Cell;
use critical_section::Mutex;
use landfall_arch::{boot_log, timer};

/// How counts become microseconds and back.
#[derive(Clone, Copy)]
struct Clock {
    start: u64,
    /// Microseconds a count, times 2^64.
    us_per_count: u64,
    /// Counts a microsecond, times 2^32.
    counts_per_us: u64,
}

static CLOCK: Mutex<Cell<Option<Clock>>> = Mutex::new(Cell::new(None));

/// The wall clock when the machine booted, in seconds since 1970-01-01 UTC.
static BOOTED_AT: Mutex<Cell<Option<u64>>> = Mutex::new(Cell::new(None));

/// Starts the clock.
pub fn init() {
    let mut frequency_hz = timer::frequency_hz();
    // Slower than this, the fractions above would overflow; no generic timer is.
    if frequency_hz <= 1_000_000 {
        boot_log!("the timer's frequency reads {frequency_hz} Hz; taking it for 62.5 MHz");
        frequency_hz = 62_500_000;
    }
    let clock = Clock {
        start: timer::count(),
        us_per_count: ((1_000_000 << 64) / u128::from(frequency_hz)) as u64,
        counts_per_us: (frequency_hz << 32) / 1_000_000,
    };
    critical_section::with(|cs| CLOCK.borrow(cs).set(Some(clock)));
}

/// Sets the wall clock to `seconds` since 1970-01-01 UTC, as it is now.
pub fn set_unix_seconds(seconds: u64) {
    let booted = seconds.saturating_sub(now_us() / 1_000_000);
    critical_section::with(|cs| BOOTED_AT.borrow(cs).set(Some(booted)));
}

/// Returns the wall clock in seconds since 1970-01-01 UTC; `None` where it was not set.
pub fn unix_seconds() -> Option<u64> {
    let booted = critical_section::with(|cs| BOOTED_AT.borrow(cs).get())?;
    Some(booted + now_us() / 1_000_000)
}

fn clock() -> Option<Clock> {
    critical_section::with(|cs| CLOCK.borrow(cs).get())
}

/// Returns microseconds since boot, 0 before [`init`].
pub fn now_us() -> u64 {
    clock().map_or(0, |clock| {
        let counts = u128::from(timer::count().wrapping_sub(clock.start));
        ((counts * u128::from(clock.us_per_count)) >> 64) as u64
    })
}

/// Raises the timer's interrupt at `deadline_us`, or never.
pub fn set_deadline(deadline_us: Option<u64>) {
    match (deadline_us, clock()) {
        (Some(deadline), Some(clock)) => {
            // Rounded up, so that the deadline has passed when the interrupt comes.
            let counts = ((u128::from(deadline) * u128::from(clock.counts_per_us)) >> 32) + 2;
            let counts = u64::try_from(counts).unwrap_or(u64::MAX);
            timer::set_deadline(clock.start.saturating_add(counts));
        }
        _ => timer::clear_deadline(),
    }
}
