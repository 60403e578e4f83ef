//! Entropy: the device tree's `rng-seed` and the virtio device, whichever there are, and jitter.

use landfall::Seed;
use landfall_arch::boot_log;
use landfall_bare_metal::entropy::Pool;
use landfall_drivers::virtio::{self, entropy};

/// Returns a seed from all sources.
pub(crate) fn seed(rng_seed: Option<&[u8]>, device: Option<virtio::Slot>) -> Seed {
    let mut pool = Pool::default();
    if let Some(bytes) = rng_seed {
        pool.add("rng-seed", bytes);
    }
    if let Some(device) = device {
        boot_log!("reading the virtio entropy device");
        let mut bytes = [0; 32];
        match entropy::read(device, &mut bytes) {
            Ok(count) => pool.add("virtio device", &bytes[..count.min(32)]),
            Err(error) => boot_log!("the virtio entropy device: {error}"),
        }
    }
    pool.finish(core::hint::spin_loop)
}
