//! What the device tree says about this machine, read once, before there is a heap.

use crate::console;
use landfall_arch::psci::Conduit;
use landfall_device_tree::{
    Device, DeviceTree, DeviceTreeError, Interrupt, InterruptKind, MemoryMap, Registers,
};
use landfall_drivers::gic::{InterruptId, Signal};

/// QEMU's `virt` has 32 virtio-mmio slots.
pub(crate) const SLOTS: usize = 32;

/// The devices of this machine.
pub(crate) struct Machine {
    /// The tree itself.
    pub(crate) tree: &'static [u32],
    pub(crate) memory: MemoryMap,
    pub(crate) console: Option<Registers>,
    pub(crate) gic: Option<GicRegisters>,
    /// The virtual timer's interrupt.
    pub(crate) timer: Option<(InterruptId, Signal)>,
    pub(crate) clock: Option<Registers>,
    pub(crate) psci: Option<Conduit>,
    pub(crate) virtio: [Option<Slot>; SLOTS],
    /// Slots that there was no room for.
    pub(crate) more_virtio: usize,
}

/// Where an interrupt controller's registers are.
#[derive(Clone, Debug)]
pub(crate) enum GicRegisters {
    V2 {
        distributor: Registers,
        cpu_interface: Registers,
    },
    V3 {
        distributor: Registers,
        redistributors: Registers,
    },
}

/// A virtio-mmio slot.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) registers: Registers,
    pub(crate) interrupt: Option<(InterruptId, Signal)>,
}

impl Machine {
    /// Reads the tree at `address`, and starts the console as soon as it is found.
    ///
    /// # Errors
    /// [`DeviceTreeError`].
    pub(crate) fn read(address: usize) -> Result<Self, DeviceTreeError> {
        // SAFETY: The boot protocol passes the address of a device tree in RAM.
        let words = unsafe { DeviceTree::length_at(address) }?;
        // SAFETY: The header at `address` says that the tree has as many words; nothing writes
        // there while this slice is used (`memory` copies it before the heap may take its place).
        let words = unsafe { core::slice::from_raw_parts(address as *const u32, words) };
        let tree = DeviceTree::new(words)?;
        let console = tree.console()?.filter(console::init);
        let mut machine = Self {
            tree: words,
            memory: tree.memory()?,
            console: console.and_then(|it| it.registers(0)),
            gic: None,
            timer: None,
            clock: None,
            psci: None,
            virtio: [const { None }; SLOTS],
            more_virtio: 0,
        };
        tree.for_each_device(|device| machine.add(&device))?;
        Ok(machine)
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
        } else if device.is_compatible(&["arm,armv8-timer"]) {
            // Secure, non-secure, virtual, hypervisor (Linux
            // Documentation/devicetree/bindings/timer/arm,arch_timer.yaml).
            self.timer = device.interrupt(2).and_then(interrupt);
        } else if device.is_compatible(&["arm,pl031"]) {
            self.clock = device.registers(0);
        } else if device.is_compatible(&["arm,psci", "arm,psci-0.2", "arm,psci-1.0"]) {
            self.psci = match device.method {
                Some("hvc") => Some(Conduit::Hvc),
                Some("smc") => Some(Conduit::Smc),
                _ => None,
            };
        } else if device.is_compatible(&["virtio,mmio"]) {
            self.add_slot(device);
        }
    }

    fn add_slot(&mut self, device: &Device<'_>) {
        let Some(registers) = device.registers(0) else {
            return;
        };
        match self.virtio.iter_mut().find(|it| it.is_none()) {
            Some(free) => {
                let interrupt = device.interrupt(0).and_then(interrupt);
                *free = Some(Slot {
                    registers,
                    interrupt,
                });
            }
            None => self.more_virtio += 1,
        }
    }

    /// Returns the registers of all devices that are used.
    pub(crate) fn registers(&self) -> impl Iterator<Item = Registers> {
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
        let slots = self
            .virtio
            .iter()
            .flatten()
            .map(|slot| slot.registers.clone());
        let one = [self.console.clone(), self.clock.clone()];
        gic.into_iter().chain(one).flatten().chain(slots)
    }
}

fn interrupt(described: Interrupt) -> Option<(InterruptId, Signal)> {
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
