//! virtio-mmio slots, and the network card among them.

use crate::machine::{Machine, Slot};
use alloc::{boxed::Box, vec, vec::Vec};
use core::ptr::NonNull;
use landfall::{BoardTask, Card, NetworkDevice};
use landfall_arch::boot_log;
use landfall_bare_metal::irq;
use landfall_drivers::{
    gic::{InterruptId, Signal},
    interrupt::Interrupt,
    virtio::{
        self, Device,
        net::{Doorbell, VirtioNet},
    },
};

/// What the slots hold that this board uses.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) entropy: Option<virtio::Slot>,
    network: Option<(virtio::Slot, Option<(InterruptId, Signal)>)>,
}

/// Looks into every slot.
pub(crate) fn probe(machine: &Machine) -> Found {
    boot_log!("looking for virtio devices");
    if machine.devices.more_virtio > 0 {
        boot_log!(
            "{} more virtio slots than there is room for",
            machine.devices.more_virtio
        );
    }
    let mut found = Found::default();
    for slot in machine.devices.virtio.iter().flatten() {
        found.add(slot);
    }
    found
}

impl Found {
    fn add(&mut self, slot: &Slot) {
        let address = slot.registers.start;
        let bytes = (slot.registers.end - address) as usize;
        let Some(registers) = NonNull::new(address as *mut u8) else {
            return;
        };
        // SAFETY:
        // 1. The device tree says that a slot's registers are here; `memory` mapped them.
        // 2. Each slot is probed once, and nothing else on this board has its address.
        match unsafe { virtio::probe(registers, bytes) } {
            Device::Empty => {}
            Device::Network(transport) if self.network.is_none() => {
                self.network = Some((transport, slot.interrupt));
            }
            Device::Entropy(transport) if self.entropy.is_none() => {
                self.entropy = Some(transport);
            }
            Device::Network(_) => boot_log!("virtio at {address:#x}: one more network card"),
            Device::Entropy(_) => boot_log!("virtio at {address:#x}: one more entropy device"),
            Device::Other(what) => boot_log!("virtio at {address:#x}: {what}, not used"),
            Device::Odd(why) => boot_log!("virtio at {address:#x}: not usable: {why}"),
        }
    }
}

/// Sets up the network card of a machine with `memory` bytes; returns it, and the task that it needs.
pub(crate) fn init(found: Found, memory: u64) -> (NetworkDevice, Vec<BoardTask>) {
    match card(found, memory) {
        Some((card, doorbell)) => {
            let device = NetworkDevice::Cards(vec![Card::new(card)]);
            (device, vec![Box::pin(doorbell)])
        }
        None => (NetworkDevice::None, Vec::new()),
    }
}

fn card(found: Found, memory: u64) -> Option<(VirtioNet, Doorbell)> {
    static INTERRUPT: Interrupt = Interrupt::new();
    let Some((slot, interrupt)) = found.network else {
        boot_log!("no network card");
        return None;
    };
    boot_log!("setting up the virtio network card");
    let Some(interrupt) = interrupt else {
        boot_log!("the network card has no interrupt in the device tree; not used");
        return None;
    };
    if let Err(error) = irq::connect(interrupt, || INTERRUPT.signal()) {
        boot_log!("the network card: {error}");
        return None;
    }
    VirtioNet::new(slot, &INTERRUPT, memory)
        .inspect_err(|error| boot_log!("the network card: {error}"))
        .ok()
}
