//! Entropy: the device tree's `rng-seed`, which toolstacks since Xen 4.17 write, the CPU's generator, and jitter.

use landfall::{Seed, entropy::RESEEDS};
use landfall_bare_metal::entropy;
use xen_arm::hypercall;

/// Returns a seed from all sources.
pub(crate) fn seed(rng_seed: Option<&[u8]>) -> Seed {
    let mut seed = Seed::new(
        "Xen's toolstack gives a guest entropy (rng-seed) since 4.17, and CPUs since Armv8.5 may have RNDR",
    );
    if let Some(bytes) = rng_seed {
        seed.add("rng-seed", bytes);
    }
    // How long Xen takes to come back, nobody in this domain has a part in.
    entropy::add_cpu(&mut seed, hypercall::yield_now);
    seed
}

/// Hands over what there is without waiting.
pub(crate) fn refresh(absorb: &mut dyn FnMut(&[u8])) {
    if RESEEDS {
        entropy::refresh_cpu(absorb, hypercall::yield_now);
    }
}
