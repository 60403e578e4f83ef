//! Interrupts: a GIC, or an A10's controller.

use crate::machine::Machine;
use core::ptr::NonNull;
use landfall_bare_metal::irq;
use safe_mmio::UniqueMmioPointer;

/// Sets up the interrupt controller; `None` without one.
pub(crate) fn init(machine: &Machine) -> Option<()> {
    if machine.core.gic.is_some() {
        irq::init(&machine.core);
        return Some(());
    }
    let registers = machine.devices.interrupt_controller.as_ref()?;
    let registers = NonNull::new(registers.start as *mut _)?;
    // SAFETY: The device tree says that such a controller's registers are here; `memory` mapped them, and nothing else on
    // this board has their address.
    irq::init_sun4i(&machine.core, unsafe { UniqueMmioPointer::new(registers) });
    Some(())
}
