//! Entropy: the device tree's `rng-seed`, the virtio device, the CPU's generator, whichever there are, and jitter.

use core::{cell::RefCell, hint::spin_loop};
use critical_section::Mutex;
use landfall::{Seed, entropy::RESEEDS};
use landfall_arch::boot_log;
use landfall_bare_metal::{entropy, time::now_us};
use landfall_drivers::virtio::{
    self,
    entropy::{ANSWER, VirtioEntropy},
};

/// How long boot waits for the virtio device: its host may limit its rate.
const PATIENCE_US: u64 = 100_000;

static DEVICE: Mutex<RefCell<Option<VirtioEntropy>>> = Mutex::new(RefCell::new(None));

/// Returns a seed from all sources.
pub(crate) fn seed(rng_seed: Option<&[u8]>, device: Option<virtio::Slot>) -> Seed {
    let mut seed = Seed::new("QEMU offers one by -device virtio-rng-device");
    if let Some(bytes) = rng_seed {
        seed.add("rng-seed", bytes);
    }
    if let Some(slot) = device {
        boot_log!("reading the virtio entropy device");
        if let Err(error) = add_device(&mut seed, slot) {
            boot_log!("the virtio entropy device: {error}");
        }
    }
    entropy::add_cpu(&mut seed, spin_loop);
    seed
}

/// Adds the device's first answer, and keeps the device where it is asked again.
fn add_device(seed: &mut Seed, slot: virtio::Slot) -> Result<(), virtio::Error> {
    let mut device = VirtioEntropy::new(slot)?;
    let deadline = now_us() + PATIENCE_US;
    let mut bytes = [0; ANSWER];
    let answer = loop {
        match device.answer(&mut bytes).map(<[u8]>::len) {
            None if now_us() < deadline => spin_loop(),
            answer => break answer.unwrap_or(0),
        }
    };
    seed.add("the virtio device", &bytes[..answer]);
    if RESEEDS {
        critical_section::with(|cs| DEVICE.borrow_ref_mut(cs).replace(device));
    }
    Ok(())
}

/// Hands over what there is without waiting.
pub(crate) fn refresh(absorb: &mut dyn FnMut(&[u8])) {
    if !RESEEDS {
        return;
    }
    critical_section::with(|cs| {
        if let Some(device) = DEVICE.borrow_ref_mut(cs).as_mut() {
            // What it was asked for the last time.
            if let Some(bytes) = device.answer(&mut [0; ANSWER]) {
                absorb(bytes);
            }
            device.ask();
        }
    });
    entropy::refresh_cpu(absorb, spin_loop);
}
