//! The clocks: the generic timer's virtual counter, in microseconds since boot, and the PL031 for
//! the time of day.

use crate::machine::Machine;
use core::{cell::Cell, ptr::NonNull};
use critical_section::Mutex;
use landfall_arch::{boot_log, timer};
use landfall_device_tree::Registers;
use landfall_drivers::pl031::Pl031;
use safe_mmio::UniqueMmioPointer;

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

/// Starts the clocks.
pub(crate) fn init(machine: &Machine) {
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
    match machine.clock.as_ref().and_then(read_wall_clock) {
        Some(seconds) => {
            boot_log!("wall clock: {seconds} s since 1970-01-01 UTC, from the PL031");
            critical_section::with(|cs| BOOTED_AT.borrow(cs).set(Some(seconds)));
        }
        None => boot_log!("no PL031 in the device tree that runs: the time of day is not known"),
    }
}

/// Returns the PL031's time; `None` when it was never set.
fn read_wall_clock(registers: &Registers) -> Option<u64> {
    let registers = NonNull::new(registers.start as *mut _)?;
    // SAFETY: The device tree says that a PL031's registers are here; `memory` mapped them, and
    // nothing else on this board has their address.
    let clock = Pl031::new(unsafe { UniqueMmioPointer::new(registers) });
    Some(u64::from(clock.unix_seconds())).filter(|&it| it > 0)
}

/// Returns the wall clock in seconds since 1970-01-01 UTC.
pub(crate) fn unix_seconds() -> Option<u64> {
    let booted = critical_section::with(|cs| BOOTED_AT.borrow(cs).get())?;
    Some(booted + now_us() / 1_000_000)
}

fn clock() -> Option<Clock> {
    critical_section::with(|cs| CLOCK.borrow(cs).get())
}

/// Returns microseconds since boot, 0 before [`init`].
pub(crate) fn now_us() -> u64 {
    clock().map_or(0, |clock| {
        let counts = u128::from(timer::count().wrapping_sub(clock.start));
        ((counts * u128::from(clock.us_per_count)) >> 64) as u64
    })
}

/// Raises the timer's interrupt at `deadline_us`, or never.
pub(crate) fn set_deadline(deadline_us: Option<u64>) {
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
