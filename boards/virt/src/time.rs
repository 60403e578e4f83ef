//! The time of day, from the PL031; the clock itself is the generic timer, as on every board.

use crate::machine::Machine;
use core::{ptr::NonNull, time::Duration};
use landfall::BoardClock;
use landfall_bare_metal::time;
use landfall_device_tree::Registers;
use landfall_drivers::pl031::Pl031;
use safe_mmio::UniqueMmioPointer;

/// Starts the clock since boot, and reads the other.
pub(crate) fn init(machine: &Machine) -> BoardClock {
    time::init();
    match machine.devices.clock.as_ref().and_then(read_pl031) {
        Some(seconds) => time::board_clock("the PL031", Duration::from_secs(seconds)),
        None => BoardClock::None,
    }
}

/// Returns the PL031's time. Which second it is in, it does not say.
fn read_pl031(registers: &Registers) -> Option<u64> {
    let registers = NonNull::new(registers.start as *mut _)?;
    // SAFETY: The device tree says that a PL031's registers are here; `memory` mapped them, and
    // nothing else on this board has their address.
    let clock = Pl031::new(unsafe { UniqueMmioPointer::new(registers) });
    Some(clock.unix_seconds().into())
}
