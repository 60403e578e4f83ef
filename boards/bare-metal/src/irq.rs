//! Interrupts: the GIC of either version (or with the feature `sun4i` the controller of Allwinner's A10), and who is woken
//! by which.

#[cfg(feature = "sun4i")]
mod sun4i;

use crate::{
    machine::{Core, GicRegisters},
    timer,
};
use alloc::vec::Vec;
use core::{cell::RefCell, ptr::NonNull};
use critical_section::Mutex;
use landfall_arch::boot_log;
#[cfg(not(feature = "sun4i"))]
use landfall_drivers::gic::Gic as Controller;
use landfall_drivers::gic::{Gic, GicError, InterruptId, Signal};
#[cfg(feature = "sun4i")]
use sun4i::Controller;
#[cfg(feature = "sun4i")]
pub use sun4i::init as init_sun4i;

/// Called at an interrupt, out of the executor's loop.
pub type Handler = fn();

struct Interrupts {
    controller: Controller,
    timer: Option<InterruptId>,
    devices: Vec<(InterruptId, Handler)>,
}

static INTERRUPTS: Mutex<RefCell<Option<Interrupts>>> = Mutex::new(RefCell::new(None));

/// Sets up the interrupt controller and the timer's interrupt.
pub fn init(machine: &Core) {
    boot_log!("setting up the interrupt controller");
    let gic = match machine.gic.clone().map(set_up) {
        Some(Ok(gic)) => gic,
        Some(Err(error)) => return boot_log!("{error}; nothing will wake the CPU"),
        None => return boot_log!("the device tree has no GIC; nothing will wake the CPU"),
    };
    #[cfg(feature = "sun4i")]
    let gic = Controller::Gic(gic);
    start(machine, gic);
}

fn start(machine: &Core, controller: Controller) {
    let mut interrupts = Interrupts {
        controller,
        timer: None,
        devices: Vec::new(),
    };
    match machine.timer {
        None => boot_log!("the device tree has no virtual timer; nothing will happen in time"),
        Some((id, signal)) => match interrupts.controller.enable(id, signal) {
            Ok(()) => interrupts.timer = Some(id),
            Err(error) => boot_log!("timer: {error}"),
        },
    }
    boot_log!("{} ready", interrupts.controller.name());
    critical_section::with(|cs| INTERRUPTS.borrow_ref_mut(cs).replace(interrupts));
}

fn set_up(registers: GicRegisters) -> Result<Gic, GicError> {
    let pointer = |address: u64| NonNull::new(address as *mut u8).ok_or(GicError::NoRedistributor);
    match registers {
        GicRegisters::V2 {
            distributor,
            cpu_interface,
        } => {
            let (distributor, cpu_interface) =
                (pointer(distributor.start)?, pointer(cpu_interface.start)?);
            // SAFETY:
            // 1. The device tree says that these registers are here; `memory` mapped them.
            // 2. Nothing else on this board has their addresses.
            Ok(unsafe { Gic::v2(distributor, cpu_interface) })
        }
        GicRegisters::V3 {
            distributor,
            redistributors,
        } => {
            let (distributor, redistributors) =
                (pointer(distributor.start)?, pointer(redistributors.start)?);
            // SAFETY:
            // 1. The device tree says that these registers are here; `memory` mapped them.
            // 2. Nothing else on this board has their addresses.
            unsafe { Gic::v3(distributor, redistributors) }
        }
    }
}

/// Calls `handler` at each interrupt `id`.
///
/// # Errors
/// [`GicError`].
pub fn connect((id, signal): (InterruptId, Signal), handler: Handler) -> Result<(), GicError> {
    critical_section::with(|cs| match INTERRUPTS.borrow_ref_mut(cs).as_mut() {
        None => Err(GicError::NotImplemented(id)),
        Some(interrupts) => {
            interrupts.controller.enable(id, signal)?;
            interrupts.devices.push((id, handler));
            Ok(())
        }
    })
}

/// Handles what is pending.
pub fn dispatch() {
    // The CPU's own register, where that of the controller is an access to a device.
    if !landfall_arch::interrupt_pending() {
        return;
    }
    critical_section::with(|cs| {
        if let Some(interrupts) = INTERRUPTS.borrow_ref_mut(cs).as_mut() {
            interrupts.dispatch();
        }
    });
}

impl Interrupts {
    fn dispatch(&mut self) {
        /// More at once stay pending for the next time.
        const BATCH: usize = 8;
        let mut active = [InterruptId(0); BATCH];
        let mut count = 0;
        // An active interrupt is not signalled again, so that each is seen once; a line that its
        // device holds high is signalled anew after the end.
        while count < BATCH
            && landfall_arch::interrupt_pending()
            && let Some(id) = self.controller.acknowledge()
        {
            if self.timer == Some(id) {
                timer::clear_deadline();
            }
            for (_, handler) in self.devices.iter().filter(|(known, _)| *known == id) {
                handler();
            }
            active[count] = id;
            count += 1;
        }
        for &id in &active[..count] {
            self.controller.end(id);
        }
    }
}
