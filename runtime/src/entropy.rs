//! The random generator, and what it is seeded from.
//!
//! A board adds what its sources give to a [`Seed`], which runs the health tests (`health`) and remembers
//! what it thinks of each source; [`fill`] draws from the generator that [`crate::run`] makes of it.
//!
//! The generator is HChaCha20 (draft-irtf-cfrg-xchacha-03, 2.2), a pseudorandom function of a 256-bit key, in
//! counter mode and with fast key erasure (D. J. Bernstein, 2017): each request replaces the key, so that who
//! reads the memory later learns nothing of what was given out before. Twenty rounds, of which the best known
//! attacks on ChaCha break seven: random bytes are not in the path of packets, so the margin costs nothing
//! that anyone would notice.

mod health;

pub use health::HealthTest;

use crate::platform;
use alloc::vec::Vec;
use chacha20::{R20, hchacha};
use core::{cell::RefCell, fmt};
use critical_section::Mutex;
use health::Cutoffs;
use landfall_log::warn;
use log::{Level, log};

/// The least that a source must give to count, in bytes.
const ENOUGH: usize = 16;

/// Whether sources are asked again while the system runs: feature `reseed`. Where not, boards need not keep them.
pub const RESEEDS: bool = cfg!(feature = "reseed");

/// How much may be given out before the board's sources are asked again.
const RESEED_BYTES: usize = 1 << 20;
/// How long it may be given out before that.
const RESEED_US: u64 = 60_000_000;

/// The key, which only the generator knows.
struct Key([u8; KEY]);

const KEY: usize = 32;

impl Key {
    /// Mixes `input` in, 32 bytes at a time: the key that the sum of key and input makes.
    ///
    /// With HChaCha20 as a random function of its key, the new key is as hard to guess as the old one and the
    /// input together: to add what others know or chose loses nothing, for the sum still takes each value for
    /// just one old key; and what little is in each block of a poor source adds up over the blocks.
    fn absorb(&mut self, input: &[u8]) {
        for block in input.chunks(KEY) {
            for (byte, more) in self.0.iter_mut().zip(block) {
                *byte ^= more;
            }
            self.0 = self.block(0);
        }
    }

    /// Fills `bytes`, and replaces the key.
    fn squeeze(&mut self, bytes: &mut [u8]) {
        for (number, piece) in (1..).zip(bytes.chunks_mut(KEY)) {
            for (byte, random) in piece.iter_mut().zip(self.block(number)) {
                *byte = random;
            }
        }
        self.0 = self.block(0);
    }

    /// Returns the function's value for this key and `number`. That of 0 is only ever used as a key.
    fn block(&self, number: u128) -> [u8; KEY] {
        hchacha::<R20>(&self.0.into(), &number.to_le_bytes().into()).0
    }
}

/// What the sources of a board gave.
pub struct Seed {
    key: Key,
    sources: Vec<EntropySource>,
    advice: &'static str,
}

/// A source of entropy, and what the health tests at boot said of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EntropySource {
    /// Its name.
    pub name: &'static str,
    /// What it is worth.
    pub worth: Worth,
}

/// What a source of entropy is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Worth {
    /// Others cannot guess what it gave.
    Good,
    /// It adds something, and nobody can say how much.
    Unmeasured,
    /// So few bytes were there.
    TooShort(usize),
    /// It is stuck or biased, by this test.
    Failed(HealthTest),
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Unmeasured => f.write_str("not counted"),
            Self::TooShort(bytes) => write!(f, "only {bytes} bytes"),
            Self::Failed(test) => write!(f, "failed the {test}"),
        }
    }
}

/// Where the random numbers come from.
#[derive(Clone, Debug)]
pub struct Entropy {
    /// The sources that there were at boot.
    pub sources: Vec<EntropySource>,
    /// How often more was mixed in since.
    pub reseeds: u32,
}

impl Entropy {
    /// Returns whether there is a source that others cannot guess. Without one, no key that this machine
    /// makes is secret.
    pub fn is_good(&self) -> bool {
        is_good(&self.sources)
    }
}

fn is_good(sources: &[EntropySource]) -> bool {
    sources.iter().any(|source| source.worth == Worth::Good)
}

impl Seed {
    /// Begins without a source; `advice` tells whoever runs this board how to give it one.
    pub const fn new(advice: &'static str) -> Self {
        Self {
            key: Key([0; 32]),
            sources: Vec::new(),
            advice,
        }
    }

    /// Adds what the source `name` gave, whose bytes are all equally likely.
    pub fn add(&mut self, name: &'static str, bytes: &[u8]) {
        let worth = match health::check(bytes, Cutoffs::UNIFORM) {
            _ if bytes.len() < ENOUGH => Worth::TooShort(bytes.len()),
            Some(test) => Worth::Failed(test),
            None => Worth::Good,
        };
        self.add_source(name, worth, bytes);
    }

    /// Adds samples of noise, as they were measured. They alone make no good seed, for nobody can say how
    /// much is in them.
    pub fn add_noise(&mut self, name: &'static str, samples: &[u8]) {
        let failed = health::check(samples, Cutoffs::NOISE);
        self.add_source(
            name,
            failed.map_or(Worth::Unmeasured, Worth::Failed),
            samples,
        );
    }

    /// A source that fails is mixed in all the same: it does no harm.
    fn add_source(&mut self, name: &'static str, worth: Worth, bytes: &[u8]) {
        self.key.absorb(bytes);
        self.sources.push(EntropySource { name, worth });
    }

    /// Says in the log what there is and what is wrong with it.
    fn announce(&self) {
        for EntropySource { name, worth } in &self.sources {
            let level = match worth {
                Worth::Good | Worth::Unmeasured => Level::Info,
                Worth::TooShort(_) | Worth::Failed(_) => Level::Warn,
            };
            log!(target: "entropy", level, "{name}: {worth}");
        }
        if !is_good(&self.sources) {
            let advice = self.advice;
            warn!(
                target: "entropy",
                "NO GOOD SOURCE: keys can be guessed; {advice}"
            );
        }
    }
}

/// The random generator.
pub(crate) struct Generator {
    key: Key,
    about: Entropy,
    /// Since the sources were asked last: bytes given out, and when that was.
    given: usize,
    asked_us: u64,
}

impl Generator {
    /// Says what the seed is worth, and begins with it.
    pub(crate) fn new(seed: Seed, now_us: u64) -> Self {
        seed.announce();
        let mut key = seed.key;
        // When boot got here differs a little from boot to boot.
        key.absorb(&now_us.to_le_bytes());
        Self {
            key,
            about: Entropy {
                sources: seed.sources,
                reseeds: 0,
            },
            given: 0,
            asked_us: now_us,
        }
    }

    fn is_due(&self, now_us: u64) -> bool {
        self.given >= RESEED_BYTES || now_us.saturating_sub(self.asked_us) >= RESEED_US
    }

    /// Mixes in what `refresh` hands over.
    fn reseed(&mut self, now_us: u64, refresh: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        (self.given, self.asked_us) = (0, now_us);
        refresh(&mut |bytes| self.key.absorb(bytes));
        self.about.reseeds = self.about.reseeds.saturating_add(1);
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        self.given = self.given.saturating_add(bytes.len());
        self.key.squeeze(bytes);
    }
}

static GENERATOR: Mutex<RefCell<Option<Generator>>> = Mutex::new(RefCell::new(None));

/// There is no seed yet: [`crate::run`] has not begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotSeeded;

impl fmt::Display for NotSeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the random generator has no seed yet")
    }
}

impl core::error::Error for NotSeeded {}

/// Makes `generator` the one that [`fill`] draws from.
pub(crate) fn install(generator: Generator) {
    critical_section::with(|cs| GENERATOR.borrow_ref_mut(cs).replace(generator));
}

fn with<T>(act: impl FnOnce(&mut Generator) -> T) -> Result<T, NotSeeded> {
    critical_section::with(|cs| GENERATOR.borrow_ref_mut(cs).as_mut().map(act)).ok_or(NotSeeded)
}

/// Fills `bytes` from the generator, fit for keys as far as the board's sources were.
///
/// # Errors
/// [`NotSeeded`]; `bytes` are as they were.
pub fn fill(bytes: &mut [u8]) -> Result<(), NotSeeded> {
    with(|generator| {
        if RESEEDS && let Some(platform) = platform::get() {
            let now_us = platform.now_us();
            if generator.is_due(now_us) {
                generator.reseed(now_us, |absorb| platform.refresh_entropy(absorb));
            }
        }
        generator.fill(bytes);
    })
}

/// Returns where the random numbers come from.
pub(crate) fn about() -> Option<Entropy> {
    with(|generator| generator.about.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::array;

    fn seed(bytes: &[u8]) -> Seed {
        let mut seed = Seed::new("");
        seed.add("test", bytes);
        seed
    }

    fn stream(generator: &mut Generator) -> [u8; 64] {
        let mut bytes = [0; 64];
        generator.fill(&mut bytes);
        bytes
    }

    fn ramp() -> [u8; 32] {
        array::from_fn(|index| index as u8)
    }

    #[test]
    fn a_block_is_that_of_the_draft() {
        // draft-irtf-cfrg-xchacha-03, 2.2.1.
        let input = 0x2759_4131_0000_0000_4a00_0000_0900_0000;
        let block = Key(ramp()).block(input);
        assert_eq!(block[..4], [0x82, 0x41, 0x3b, 0x42]);
        assert_eq!(block[28..], [0x26, 0xd3, 0xec, 0xdc]);
    }

    #[test]
    fn equal_seeds_give_equal_streams_and_any_difference_shows() {
        let mut one = Generator::new(seed(&ramp()), 5);
        assert_eq!(
            stream(&mut one),
            stream(&mut Generator::new(seed(&ramp()), 5))
        );
        let mut flipped = ramp();
        flipped[31] ^= 1;
        let mut longer = seed(&ramp());
        longer.add_noise("noise", &[1]);
        for (other, now_us) in [(seed(&flipped), 5), (longer, 5), (seed(&ramp()), 6)] {
            let mut one = Generator::new(seed(&ramp()), 5);
            assert_ne!(stream(&mut one), stream(&mut Generator::new(other, now_us)));
        }
    }

    #[test]
    fn the_order_of_equal_pieces_counts_so_they_do_not_cancel_out() {
        let twice = |bytes: &[u8]| {
            let mut key = Key([0; 32]);
            key.absorb(bytes);
            key.absorb(bytes);
            key.0
        };
        assert_ne!(twice(&ramp()), Key([0; 32]).0);
        assert_ne!(twice(&ramp()), twice(&[0; 32]));
    }

    #[test]
    fn a_request_leaves_nothing_of_what_it_gave() {
        let mut generator = Generator::new(seed(&ramp()), 0);
        let before = generator.key.0;
        let given = stream(&mut generator);
        assert_ne!(generator.key.0, before);
        assert!(!given.windows(32).any(|it| it == generator.key.0));
        assert_ne!(stream(&mut generator), given);
    }

    #[test]
    fn reseeding_is_due_after_time_or_bytes_and_changes_the_stream() {
        let pair = || {
            (
                Generator::new(seed(&ramp()), 0),
                Generator::new(seed(&ramp()), 0),
            )
        };
        let (mut one, mut other) = pair();
        assert!(!one.is_due(RESEED_US - 1));
        assert!(one.is_due(RESEED_US));
        one.reseed(RESEED_US, |absorb| absorb(&[1, 2, 3]));
        assert!(!one.is_due(RESEED_US));
        assert_eq!((one.about.reseeds, other.about.reseeds), (1, 0));
        assert_ne!(stream(&mut one), stream(&mut other));
        let mut mebibyte = alloc::vec![0; RESEED_BYTES];
        other.fill(&mut mebibyte);
        assert!(other.is_due(0));
    }

    #[test]
    fn a_source_is_worth_what_it_gave() {
        let worth = |bytes: &[u8]| seed(bytes).sources[0].worth;
        assert_eq!(worth(&ramp()), Worth::Good);
        assert_eq!(worth(&ramp()[..15]), Worth::TooShort(15));
        assert_eq!(worth(&[7; 32]), Worth::Failed(HealthTest::RepetitionCount));
        let mut noise = Seed::new("");
        noise.add_noise("noise", &ramp());
        assert_eq!(noise.sources[0].worth, Worth::Unmeasured);
        assert!(!is_good(&noise.sources));
        assert!(is_good(&seed(&ramp()).sources));
    }
}
