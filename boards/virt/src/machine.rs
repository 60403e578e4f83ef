//! What the device tree says about this machine, read once, before there is a heap.

use landfall_bare_metal::{
    machine::{Core, interrupt, tree_at},
    uart,
};
use landfall_device_tree::{Device, DeviceTree, DeviceTreeError, Registers};
use landfall_drivers::gic::{InterruptId, Signal};

/// QEMU's `virt` has 32 virtio-mmio slots.
pub(crate) const SLOTS: usize = 32;

/// The devices of this machine.
pub(crate) struct Machine {
    pub(crate) core: Core,
    pub(crate) console: Option<Registers>,
    pub(crate) devices: Devices,
}

/// What not every machine has.
pub(crate) struct Devices {
    pub(crate) clock: Option<Registers>,
    pub(crate) virtio: [Option<Slot>; SLOTS],
    /// Slots that there was no room for.
    pub(crate) more_virtio: usize,
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
        let words = tree_at(address)?;
        let console = DeviceTree::new(words)?.console()?.filter(uart::init);
        let mut devices = Devices {
            clock: None,
            virtio: [const { None }; SLOTS],
            more_virtio: 0,
        };
        Ok(Self {
            core: Core::read(words, |device| devices.add(device))?,
            console: console.and_then(|it| it.registers(0)),
            devices,
        })
    }

    /// Returns the registers of the devices that only this board uses.
    pub(crate) fn registers(&self) -> impl Iterator<Item = Registers> {
        let slots = self.devices.virtio.iter().flatten();
        let one = [self.console.clone(), self.devices.clock.clone()];
        let slots = slots.map(|slot| slot.registers.clone());
        one.into_iter().flatten().chain(slots)
    }
}

impl Devices {
    fn add(&mut self, device: &Device<'_>) {
        if device.is_compatible(&["arm,pl031"]) {
            self.clock = device.registers(0);
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
}
