//! The time of day, from the PL031; the clock itself is the generic timer, as on every board.

use crate::machine::Machine;
use core::ptr::NonNull;
use landfall_arch::boot_log;
use landfall_bare_metal::time;
use landfall_device_tree::Registers;
use landfall_drivers::pl031::Pl031;
use safe_mmio::UniqueMmioPointer;

/// Starts the clocks.
pub(crate) fn init(machine: &Machine) {
    time::init();
    match machine.devices.clock.as_ref().and_then(read_wall_clock) {
        Some(seconds) => {
            boot_log!("wall clock: {seconds} s since 1970-01-01 UTC, from the PL031");
            time::set_unix_seconds(seconds);
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
