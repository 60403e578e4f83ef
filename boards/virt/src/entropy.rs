//! Entropy: the device tree's `rng-seed` and the virtio device, whichever there are, mixed.

use landfall_arch::boot_log;
use landfall_drivers::virtio::{self, entropy};

/// The least that a source must give to count.
const ENOUGH: usize = 16;

/// Returns a seed from all sources, or `None` when there is none; says on the console which.
pub(crate) fn seed(rng_seed: Option<&[u8]>, device: Option<virtio::Slot>) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    let from_tree = rng_seed.filter(|it| it.len() >= ENOUGH);
    if let Some(bytes) = from_tree {
        mix(&mut seed, bytes);
    }
    let from_device = device.is_some_and(|device| {
        boot_log!("reading the virtio entropy device");
        let mut bytes = [0; 32];
        match entropy::read(device, &mut bytes) {
            Ok(count) if count >= ENOUGH => {
                mix(&mut seed, &bytes);
                true
            }
            Ok(count) => {
                boot_log!("the virtio entropy device gave only {count} bytes");
                false
            }
            Err(error) => {
                boot_log!("the virtio entropy device: {error}");
                false
            }
        }
    });
    boot_log!(
        "entropy: {}",
        match (from_tree.is_some(), from_device) {
            (true, true) => "rng-seed and virtio device",
            (true, false) => "rng-seed",
            (false, true) => "virtio device",
            (false, false) => "none",
        }
    );
    (from_tree.is_some() || from_device).then_some(seed)
}

fn mix(seed: &mut [u8; 32], bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        seed[index % 32] ^= byte;
    }
}
