//! Health tests of entropy sources (NIST SP 800-90B, 4.4): they find a source that is stuck or has become
//! much worse than it claims, not one that someone else can guess.

use core::fmt;

/// Samples of which the adaptive proportion test looks at one's share (4.4.2: 512 where they are not binary).
const WINDOW: usize = 512;

/// A test that a source can fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HealthTest {
    /// The same value too many times in a row (4.4.1).
    RepetitionCount,
    /// The same value too many times among 512 (4.4.2).
    AdaptiveProportion,
}

impl fmt::Display for HealthTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RepetitionCount => "repetition count test",
            Self::AdaptiveProportion => "adaptive proportion test",
        })
    }
}

/// From which counts on a source fails: what a source of the claimed entropy does by chance once in 2^30 samples or
/// windows.
#[derive(Clone, Copy)]
pub(super) struct Cutoffs {
    /// 1 + ⌈30 / H⌉
    repetition: usize,
    /// 1 + the count that a binomial distribution of 512 samples of probability 2^-H exceeds that rarely.
    proportion: usize,
}

impl Cutoffs {
    /// H = 8: each byte is as likely as any.
    pub(super) const UNIFORM: Self = Self {
        repetition: 5,
        proportion: 16,
    };
    /// H = 1/4: 1024 samples have 256 bits.
    pub(super) const NOISE: Self = Self {
        repetition: 121,
        proportion: 477,
    };
}

/// Returns the test that `samples` fail. A window that is not full is tested too, with less power.
pub(super) fn check(samples: &[u8], cutoffs: Cutoffs) -> Option<HealthTest> {
    let stuck = |run: &[u8]| run.len() >= cutoffs.repetition;
    let biased = |window: &[u8]| {
        let same = window.iter().filter(|&&it| it == window[0]);
        same.count() >= cutoffs.proportion
    };
    if samples.chunk_by(|one, next| one == next).any(stuck) {
        Some(HealthTest::RepetitionCount)
    } else if samples.chunks(WINDOW).any(biased) {
        Some(HealthTest::AdaptiveProportion)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Key;
    use alloc::vec::Vec;

    fn random(count: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0; count];
        Key([1; 32]).squeeze(&mut bytes);
        bytes
    }

    #[test]
    fn good_sources_pass() {
        assert_eq!(check(&random(1 << 20), Cutoffs::UNIFORM), None);
        assert_eq!(check(&[], Cutoffs::UNIFORM), None);
        // One bit a sample is more than noise claims.
        let bits: Vec<u8> = random(1 << 16).iter().map(|it| it & 1).collect();
        assert_eq!(check(&bits, Cutoffs::NOISE), None);
    }

    #[test]
    fn stuck_sources_fail_at_the_cutoff() {
        for (cutoffs, cutoff) in [(Cutoffs::UNIFORM, 5), (Cutoffs::NOISE, 121)] {
            let mut samples = random(300);
            samples[100] = 1;
            samples[100 + cutoff] = 1;
            samples[101..100 + cutoff].fill(2);
            assert_eq!(check(&samples, cutoffs), None, "one less");
            samples[100] = 2;
            let failed = Some(HealthTest::RepetitionCount);
            assert_eq!(check(&samples, cutoffs), failed);
        }
    }

    #[test]
    fn a_source_that_sticks_for_a_while_fails() {
        let mut samples = random(1024);
        samples[700..705].fill(0);
        let failed = Some(HealthTest::RepetitionCount);
        assert_eq!(check(&samples, Cutoffs::UNIFORM), failed);
    }

    #[test]
    fn biased_sources_fail() {
        // Every eighth byte the same, far fewer in a row than would be stuck.
        let mut samples = random(1024);
        samples.iter_mut().step_by(8).for_each(|it| *it = 0);
        let failed = Some(HealthTest::AdaptiveProportion);
        assert_eq!(check(&samples, Cutoffs::UNIFORM), failed);
        // A counter that moves every thirtieth time only.
        let samples: Vec<u8> = (0..1024).map(|it| u8::from(it % 30 == 29)).collect();
        assert_eq!(check(&samples, Cutoffs::NOISE), failed);
    }

    #[test]
    fn the_proportion_fails_at_its_cutoff() {
        let mut samples: Vec<u8> = (0..512).map(|it| (it / 4 + 1) as u8).collect();
        let mut set = |count: usize| {
            for place in 0..count {
                samples[place * 30] = 0;
            }
            check(&samples, Cutoffs::UNIFORM)
        };
        assert_eq!(set(15), None);
        assert_eq!(set(16), Some(HealthTest::AdaptiveProportion));
    }
}
