//! Entropy: the device tree's `rng-seed` where U-Boot writes one, and jitter.

use core::hint::spin_loop;
use landfall::{Seed, entropy::RESEEDS};
use landfall_bare_metal::entropy;

/// Returns a seed from all sources.
pub(crate) fn seed(rng_seed: Option<&[u8]>) -> Seed {
    let mut seed =
        Seed::new("U-Boot passes one on (rng-seed) where it drives the chip's generator");
    if let Some(bytes) = rng_seed {
        seed.add("rng-seed", bytes);
    }
    entropy::add_cpu(&mut seed, spin_loop);
    seed
}

/// Hands over what there is without waiting.
pub(crate) fn refresh(absorb: &mut dyn FnMut(&[u8])) {
    if RESEEDS {
        entropy::refresh_cpu(absorb, spin_loop);
    }
}
