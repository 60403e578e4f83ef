//! The random generator: ChaCha8, seeded once at boot.
//!
//! A board hands over what its sources gave; the moments at which boot steps ran are mixed in.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Bytes of a seed.
pub(crate) const SEED: usize = 32;

/// What the sources of a board gave.
pub enum Seed {
    /// There is a source that others cannot guess.
    Good([u8; SEED]),
    /// There is none; what little differs from boot to boot is in it.
    Weak([u8; SEED]),
}

/// A cryptographic generator, as good as its seed.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// Seeds the generator; `jitter` is mixed into the seed.
    pub(crate) fn new(seed: Seed, jitter: u64) -> Self {
        let (Seed::Good(mut seed) | Seed::Weak(mut seed)) = seed;
        for (byte, noise) in seed.iter_mut().zip(jitter.to_le_bytes()) {
            *byte ^= noise;
        }
        Self(ChaCha8Rng::from_seed(seed))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}
