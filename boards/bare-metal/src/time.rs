//! The clocks: the timer's counter, in microseconds since boot.

use crate::timer;
use core::{cell::Cell, time::Duration};
use critical_section::Mutex;
use embedded_hal::delay::DelayNs;
use landfall::BoardClock;
use landfall_arch::boot_log;

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

/// Starts the clock.
pub fn init() {
    let mut frequency_hz = timer::frequency_hz();
    // Slower than this, the fractions above would overflow; no timer here is.
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

/// Returns what the board's clock of this name, which reads `unix` since 1970-01-01 UTC now, read at boot.
pub fn board_clock(name: &'static str, unix: Duration) -> BoardClock {
    BoardClock::Read {
        name,
        at_boot: unix.saturating_sub(Duration::from_micros(now_us())),
    }
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

/// The clock as drivers of devices wait by it: the CPU does nothing else meanwhile, so it is for microseconds, and
/// for the time before the runtime, from which on `embassy_time` has clocks for those who can wait.
#[derive(Clone, Copy, Debug)]
pub struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        // Rounded up, and a microsecond more: the one that has begun is not whole.
        let deadline = now_us() + u64::from(ns.div_ceil(1000)) + 1;
        while now_us() < deadline {
            core::hint::spin_loop();
        }
    }
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
