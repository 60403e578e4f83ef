//! The clock: the generic timer, or an A10's. The time of day is the network's or the boot arguments' to tell.

use crate::machine::{Machine, Timer};
use core::ptr::NonNull;
use landfall::BoardClock;
use landfall_bare_metal::{time, timer};
use safe_mmio::UniqueMmioPointer;

/// Starts the clock since boot; `None` without a timer.
pub(crate) fn init(machine: &Machine) -> Option<BoardClock> {
    if let Timer::Sun4i(registers) = machine.timer.as_ref()? {
        let registers = NonNull::new(registers.start as *mut _)?;
        // SAFETY: The device tree says that such timers' registers are here; `memory` mapped them, and of the watchdog,
        // which is among them, others are used.
        timer::use_sun4i(unsafe { UniqueMmioPointer::new(registers) });
    }
    time::init();
    Some(BoardClock::None)
}
