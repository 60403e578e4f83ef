//! Entropy: a board adds what its sources give, and jitter is mixed in everywhere.

use alloc::vec::Vec;
use landfall::Seed;
use landfall_arch::{boot_log, timer};

/// The least that a source must give to count.
const ENOUGH: usize = 16;

/// Samples of jitter.
const SAMPLES: usize = 1024;

/// A seed in the making.
#[derive(Default)]
pub struct Pool {
    seed: [u8; 32],
    next: usize,
    sources: Vec<&'static str>,
}

impl Pool {
    /// Mixes in what a source gave; fewer than 16 bytes do not make it one.
    pub fn add(&mut self, source: &'static str, bytes: &[u8]) {
        for byte in bytes {
            self.mix(*byte);
        }
        if bytes.len() >= ENOUGH {
            self.sources.push(source);
        } else {
            boot_log!("{source} gave only {} bytes of entropy", bytes.len());
        }
    }

    fn mix(&mut self, byte: u8) {
        self.seed[self.next % 32] ^= byte;
        self.next += 1;
    }

    /// Mixes in how long `disturb`, which something outside of this CPU has a part in, takes each
    /// time. That alone makes no good seed, for nobody can say how much there is in it.
    fn add_jitter(&mut self, disturb: impl Fn()) {
        let mut state = timer::count();
        let mut longest = 0;
        let mut shortest = u64::MAX;
        for _ in 0..SAMPLES {
            let start = timer::count();
            disturb();
            let taken = timer::count().wrapping_sub(start);
            (longest, shortest) = (taken.max(longest), taken.min(shortest));
            // A multiplication spreads the low bits, in which the jitter is (SplitMix64's).
            state = (state.rotate_left(7) ^ taken).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.mix((state >> 56) as u8);
        }
        if longest > shortest {
            self.sources.push("jitter");
        }
    }

    /// Returns the seed, and says on the console what is in it.
    pub fn finish(mut self, disturb: impl Fn()) -> Seed {
        let good = !self.sources.is_empty();
        self.add_jitter(disturb);
        if self.sources.is_empty() {
            boot_log!("entropy: none");
        } else {
            boot_log!("entropy: {}", self.sources.join(", "));
        }
        match good {
            true => Seed::Good(self.seed),
            false => Seed::Weak(self.seed),
        }
    }
}
