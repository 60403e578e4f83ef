//! The generator that places tiles: small, fast, and the same everywhere.
//!
//! A recorded game (seed and moves) depends on every constant and on the order of draws here and in
//! [`crate::game`]: a change makes old records unreadable, and the test of known values fails.

/// SplitMix64, the generator of Steele, Lea and Flood ("Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014). Every 64-bit seed is a good one. Not for secrets.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Returns the generator that `seed` determines.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound` (0 if `bound` is 0).
    ///
    /// The upper half of a draw is scaled down to the range. The bias is below `bound` / 2³², which
    /// nobody can notice for the 16 cells of a board, and one call is always exactly one draw.
    pub const fn below(&mut self, bound: u32) -> u32 {
        let upper_half = self.next_u64() >> 32;
        ((upper_half * bound as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    /// The reference sequence for seed 1234567.
    #[test]
    fn known_values() {
        let mut random = SplitMix64::new(1_234_567);
        let drawn = [(); 5].map(|()| random.next_u64());
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn below_reaches_every_number_and_no_more() {
        let mut random = SplitMix64::new(0);
        let mut seen = [false; 16];
        for _ in 0..1000 {
            seen[random.below(16) as usize] = true;
        }
        assert!(seen.into_iter().all(|reached| reached));
    }
}
