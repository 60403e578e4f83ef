//! A GIC, or the interrupt controller of Allwinner's A10.

use crate::machine::Core;
use landfall_arch::boot_log;
use landfall_drivers::{
    gic::{Gic, GicError, InterruptId, Signal},
    sun4i_intc::{NotImplemented, Registers, Sun4iIntc},
};
use safe_mmio::UniqueMmioPointer;

/// The interrupt controller. Interrupts of the A10's have its own numbers.
pub(super) enum Controller {
    Gic(Gic),
    Sun4i(Sun4iIntc<'static>),
}

/// Sets up the interrupt controller of an A10, and the timer's interrupt.
pub fn init(machine: &Core, registers: UniqueMmioPointer<'static, Registers>) {
    boot_log!("setting up the interrupt controller");
    super::start(machine, Controller::Sun4i(Sun4iIntc::new(registers)));
}

impl Controller {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Gic(gic) => gic.name(),
            Self::Sun4i(_) => "A10 interrupt controller",
        }
    }

    pub(super) fn enable(&mut self, id: InterruptId, signal: Signal) -> Result<(), GicError> {
        match self {
            Self::Gic(gic) => gic.enable(id, signal),
            Self::Sun4i(intc) => intc
                .enable(id.0)
                .map_err(|NotImplemented(number)| GicError::NotImplemented(InterruptId(number))),
        }
    }

    pub(super) fn acknowledge(&mut self) -> Option<InterruptId> {
        match self {
            Self::Gic(gic) => gic.acknowledge(),
            Self::Sun4i(intc) => intc.acknowledge().map(InterruptId),
        }
    }

    pub(super) fn end(&mut self, id: InterruptId) {
        match self {
            Self::Gic(gic) => gic.end(id),
            Self::Sun4i(intc) => intc.end(id.0),
        }
    }
}
