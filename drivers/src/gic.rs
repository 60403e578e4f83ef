//! Arm Generic Interrupt Controller, version 2 (IHI 0048) or 3 (IHI 0069), for one core and the
//! few interrupts of a small machine.

use arm_gic::{
    IntId, InterruptGroup, Trigger, gicv2,
    gicv2::GicV2,
    gicv3::{self, GicCpuInterface, GicV3},
};
use core::{fmt, ptr::NonNull};
use safe_mmio::{UniqueMmioPointer, fields::ReadPureWrite};

/// The number that the controller gives an interrupt: SGIs 0 to 15, PPIs 16 to 31, SPIs from 32.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InterruptId(pub u32);

impl InterruptId {
    /// Returns the id of a private peripheral interrupt, 0 to 15.
    pub const fn ppi(number: u32) -> Option<Self> {
        if number < 16 {
            Some(Self(16 + number))
        } else {
            None
        }
    }

    /// Returns the id of a shared peripheral interrupt, 0 to 987.
    pub const fn spi(number: u32) -> Option<Self> {
        if number < 988 {
            Some(Self(32 + number))
        } else {
            None
        }
    }

    fn raw(self) -> IntId {
        if self.0 < 32 {
            IntId::ppi(self.0.saturating_sub(16))
        } else {
            IntId::spi(self.0 - 32)
        }
    }
}

/// How a device raises its interrupt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// A rising edge.
    Edge,
    /// As long as the line is high.
    Level,
}

/// Why an interrupt cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GicError {
    /// The controller does not implement this interrupt.
    NotImplemented(InterruptId),
    /// No redistributor of this GICv3 could be read.
    NoRedistributor,
}

impl fmt::Display for GicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotImplemented(id) => {
                write!(
                    f,
                    "the interrupt controller does not implement interrupt {}",
                    id.0
                )
            }
            Self::NoRedistributor => f.write_str("the GICv3 has no usable redistributor"),
        }
    }
}

impl core::error::Error for GicError {}

/// The interrupt controller of either version.
#[derive(Debug)]
pub enum Gic {
    /// Version 2: distributor and CPU interface in memory.
    V2 {
        /// The controller.
        gic: GicV2<'static>,
        /// GICD_ITARGETSR, which the driver crate leaves alone: a byte for each interrupt.
        targets: UniqueMmioPointer<'static, [ReadPureWrite<u32>; 256]>,
    },
    /// Version 3: distributor and redistributor in memory, CPU interface in system registers.
    V3(GicV3<'static>),
}

/// The core that everything runs on.
const CPU: usize = 0;
const PRIORITY: u8 = 0x80;

impl Gic {
    /// Sets up a GICv2 whose interrupts all go to this core.
    ///
    /// # Safety
    /// 1. `distributor` and `cpu_interface` point to such registers, mapped as device memory.
    /// 2. Nothing else uses them from now on.
    pub unsafe fn v2(distributor: NonNull<u8>, cpu_interface: NonNull<u8>) -> Self {
        // IHI 0048, 4.3.12; the driver crate's type of these registers cannot be read or written.
        const ITARGETSR: usize = 0x800;
        // SAFETY: Within the distributor's registers; nothing else uses this part of them.
        let targets = unsafe { UniqueMmioPointer::new(distributor.byte_add(ITARGETSR).cast()) };
        // SAFETY: 1. and 2. are what `GicV2::new` asks for.
        let mut gic = unsafe {
            GicV2::new(
                distributor.as_ptr().cast::<gicv2::registers::Gicd>(),
                cpu_interface.as_ptr().cast::<gicv2::registers::Gicc>(),
            )
        };
        gic.setup();
        // `setup` enables group 1 where the controller has security states; from the non-secure
        // one, that enable is bit 0 of GICD_CTLR (IHI 0048, 4.3.1).
        gic.enable_group0(true);
        gic.enable_all_interrupts(false);
        Self::V2 { gic, targets }
    }

    /// Sets up a GICv3 for this core.
    ///
    /// # Errors
    /// [`GicError::NoRedistributor`].
    ///
    /// # Safety
    /// As for [`Self::v2`], with the redistributors' registers.
    pub unsafe fn v3(
        distributor: NonNull<u8>,
        redistributors: NonNull<u8>,
    ) -> Result<Self, GicError> {
        // SAFETY: 1. and 2. are what both constructors ask for.
        let gic = unsafe {
            GicV3::new(
                UniqueMmioPointer::new(distributor.cast()),
                redistributors.cast(),
                1,
            )
        };
        let mut gic = gic.map_err(|_| GicError::NoRedistributor)?;
        gic.setup(CPU);
        gic.enable_all_interrupts(false);
        GicCpuInterface::set_priority_mask(0xff);
        Ok(Self::V3(gic))
    }

    /// Returns the version for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::V2 { .. } => "GICv2",
            Self::V3(_) => "GICv3",
        }
    }

    /// Lets an interrupt through to this core.
    ///
    /// # Errors
    /// [`GicError::NotImplemented`].
    pub fn enable(&mut self, id: InterruptId, signal: Signal) -> Result<(), GicError> {
        let error = GicError::NotImplemented(id);
        let trigger = match signal {
            Signal::Edge => Trigger::Edge,
            Signal::Level => Trigger::Level,
        };
        match self {
            Self::V2 { gic, targets } => {
                if id.0 >= gic.typer().num_irqs() {
                    return Err(error);
                }
                gic.set_interrupt_priority(id.raw(), PRIORITY);
                // The signal of private interrupts is fixed by the CPU.
                if id.0 >= 32 {
                    gic.set_trigger(id.raw(), trigger);
                    aim_at_this_core(targets, id);
                }
                gic.enable_interrupt(id.raw(), true).map_err(|_| error)
            }
            Self::V3(gic) => {
                if id.0 >= gic.typer().num_spis() + 32 {
                    return Err(error);
                }
                let cpu = Some(CPU);
                gic.set_interrupt_priority(id.raw(), cpu, PRIORITY)
                    .map_err(|_| error)?;
                gic.set_group(id.raw(), cpu, gicv3::Group::Group1NS)
                    .map_err(|_| error)?;
                if id.0 >= 32 {
                    gic.set_trigger(id.raw(), cpu, trigger).map_err(|_| error)?;
                }
                gic.enable_interrupt(id.raw(), cpu, true).map_err(|_| error)
            }
        }
    }

    /// Returns the pending interrupt of highest priority and marks it active, or `None`.
    pub fn acknowledge(&mut self) -> Option<InterruptId> {
        match self {
            // From the non-secure state, GICC_IAR is the group 1 one (IHI 0048, 4.4.4).
            Self::V2 { gic, .. } => gic.get_and_acknowledge_interrupt(InterruptGroup::Group0),
            Self::V3(_) => GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1),
        }
        .map(|id| InterruptId(id.into()))
    }

    /// Ends an interrupt that was acknowledged.
    pub fn end(&mut self, id: InterruptId) {
        match self {
            Self::V2 { gic, .. } => gic.end_interrupt(id.raw(), InterruptGroup::Group0),
            Self::V3(_) => GicCpuInterface::end_interrupt(id.raw(), InterruptGroup::Group1),
        }
    }
}

/// Sends an interrupt to the core that runs this: the banked registers of the private interrupts
/// read as its mask (IHI 0048, 4.3.12).
fn aim_at_this_core(
    targets: &mut UniqueMmioPointer<'_, [ReadPureWrite<u32>; 256]>,
    id: InterruptId,
) {
    let mask = targets.get(0).map_or(0, |own| own.read() & 0xff);
    let shift = 8 * (id.0 % 4);
    if let Some(mut register) = targets.get(id.0 as usize / 4) {
        let others = register.read() & !(0xff << shift);
        register.write(others | mask << shift);
    }
}
