//! What every machine's device tree says: read once, before there is a heap.

use landfall_arch::psci::Conduit;
use landfall_device_tree::{
    Device, DeviceTree, DeviceTreeError, Interrupt, InterruptKind, MemoryMap, Registers,
};
use landfall_drivers::gic::{InterruptId, Signal};

/// The parts that every machine has.
pub struct Core {
    /// The tree itself.
    pub tree: &'static [u32],
    /// RAM.
    pub memory: MemoryMap,
    /// The interrupt controller.
    pub gic: Option<GicRegisters>,
    /// The timer's interrupt: that of the generic timer's virtual one.
    pub timer: Option<(InterruptId, Signal)>,
    /// How PSCI is reached.
    pub psci: Option<Conduit>,
}

/// Where an interrupt controller's registers are.
#[derive(Clone, Debug)]
pub enum GicRegisters {
    /// GICv2.
    V2 {
        /// GICD.
        distributor: Registers,
        /// GICC.
        cpu_interface: Registers,
    },
    /// GICv3 or later.
    V3 {
        /// GICD.
        distributor: Registers,
        /// GICR, of all cores.
        redistributors: Registers,
    },
}

/// Reads the words of the tree at `address`.
///
/// # Errors
/// [`DeviceTreeError`].
pub fn tree_at(address: usize) -> Result<&'static [u32], DeviceTreeError> {
    // SAFETY: The boot protocol passes the address of a device tree in RAM.
    let words = unsafe { DeviceTree::length_at(address) }?;
    // SAFETY: The header at `address` says that the tree has as many words; nothing writes there
    // while this slice is used (`memory` copies it before the heap may take its place).
    Ok(unsafe { core::slice::from_raw_parts(address as *const u32, words) })
}

impl Core {
    /// Reads what every machine has; calls `each` for every device besides.
    ///
    /// # Errors
    /// [`DeviceTreeError`].
    pub fn read(
        words: &'static [u32],
        mut each: impl FnMut(&Device<'_>),
    ) -> Result<Self, DeviceTreeError> {
        let tree = DeviceTree::new(words)?;
        let mut core = Self {
            tree: words,
            memory: tree.memory()?,
            gic: None,
            timer: None,
            psci: None,
        };
        tree.for_each_device(|device| {
            core.add(&device);
            each(&device);
        })?;
        Ok(core)
    }

    fn add(&mut self, device: &Device<'_>) {
        let pair = || Some((device.registers(0)?, device.registers(1)?));
        if device.is_compatible(&["arm,gic-v3"]) {
            self.gic = pair().map(|(distributor, redistributors)| GicRegisters::V3 {
                distributor,
                redistributors,
            });
        } else if device.is_compatible(&["arm,cortex-a15-gic", "arm,gic-400"]) {
            self.gic = pair().map(|(distributor, cpu_interface)| GicRegisters::V2 {
                distributor,
                cpu_interface,
            });
        } else if device.is_compatible(&["arm,armv8-timer", "arm,armv7-timer"]) {
            // Secure, non-secure, virtual, hypervisor (Linux
            // Documentation/devicetree/bindings/timer/arm,arch_timer.yaml).
            self.timer = device.interrupt(2).and_then(interrupt);
        } else if device.is_compatible(&["arm,psci", "arm,psci-0.2", "arm,psci-1.0"]) {
            self.psci = match device.method {
                Some("hvc") => Some(Conduit::Hvc),
                Some("smc") => Some(Conduit::Smc),
                _ => None,
            };
        }
    }

    /// Returns the registers of its devices.
    pub fn registers(&self) -> impl Iterator<Item = Registers> {
        /// Of a GICv3's redistributors, this core's: two frames of 64 KiB, four with GICv4.
        const REDISTRIBUTOR: u64 = 4 << 16;
        let gic = match self.gic.clone() {
            Some(GicRegisters::V2 {
                distributor,
                cpu_interface,
            }) => [Some(distributor), Some(cpu_interface)],
            Some(GicRegisters::V3 {
                distributor,
                redistributors,
            }) => {
                let end = redistributors
                    .end
                    .min(redistributors.start.saturating_add(REDISTRIBUTOR));
                [Some(distributor), Some(redistributors.start..end)]
            }
            None => [None, None],
        };
        gic.into_iter().flatten()
    }
}

/// Returns an interrupt as the interrupt controller knows it.
pub fn interrupt(described: Interrupt) -> Option<(InterruptId, Signal)> {
    let id = match described.kind {
        InterruptKind::Shared => InterruptId::spi(described.number)?,
        InterruptKind::Private => InterruptId::ppi(described.number)?,
    };
    Some((
        id,
        if described.edge {
            Signal::Edge
        } else {
            Signal::Level
        },
    ))
}
