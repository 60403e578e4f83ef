//! Entropy: the device tree's `rng-seed`, which toolstacks since Xen 4.17 write, and jitter.

use landfall::Seed;
use landfall_bare_metal::entropy::Pool;
use xen_arm::hypercall;

/// Returns a seed from all sources.
pub(crate) fn seed(rng_seed: Option<&[u8]>) -> Seed {
    let mut pool = Pool::default();
    if let Some(bytes) = rng_seed {
        pool.add("rng-seed", bytes);
    }
    // How long Xen takes to come back, nobody in this domain has a part in.
    pool.finish(hypercall::yield_now)
}
