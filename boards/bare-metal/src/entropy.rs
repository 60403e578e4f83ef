//! Entropy: the CPU's generator and jitter, which every board has or not by its CPU. A board adds its devices'.

use crate::timer;
use landfall::Seed;
use landfall_arch::random;

/// Samples of jitter, and bytes of the CPU's generator, that the health tests look at.
const SAMPLES: usize = 1024;
const BYTES: usize = 512;

/// Adds what the CPU gives.
///
/// Jitter is how long `disturb` takes each time, in which something outside of this CPU has a part.
pub fn add_cpu(seed: &mut Seed, disturb: impl Fn()) {
    let mut bytes = [0; BYTES];
    if fill(&mut bytes) {
        seed.add("RNDR", &bytes);
    }
    seed.add_noise("jitter", &jitter::<SAMPLES>(disturb));
}

/// Hands over what the CPU gives, in less time than at boot.
pub fn refresh_cpu(absorb: &mut dyn FnMut(&[u8]), disturb: impl Fn()) {
    let mut bytes = [0; 32];
    if fill(&mut bytes) {
        absorb(&bytes);
    }
    absorb(&jitter::<64>(disturb));
}

/// Fills `bytes` from the CPU's generator; returns whether it could.
fn fill(bytes: &mut [u8]) -> bool {
    bytes.chunks_mut(8).all(|piece| {
        let number = random().map(u64::to_le_bytes);
        let pairs = piece.iter_mut().zip(number.into_iter().flatten());
        pairs.for_each(|(byte, random)| *byte = random);
        number.is_some()
    })
}

/// Measures samples, as they are: of each the lowest byte, in which what varies is.
fn jitter<const SAMPLES: usize>(disturb: impl Fn()) -> [u8; SAMPLES] {
    core::array::from_fn(|_| {
        let start = timer::count();
        disturb();
        timer::count().wrapping_sub(start) as u8
    })
}
