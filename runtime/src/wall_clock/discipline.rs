//! How samples of a better clock correct this one (RFC 5905, 12, without its frequency loop): by slewing, a bounded
//! rate at which the time of day still only goes forward, or by a step.

use core::fmt;

use super::{Clock, STATE, State, WallClock, WallClockSource};

/// What is more wrong than this is set by a step (RFC 5905, A.1.1: STEPT).
const STEP_US: u64 = 128_000;
/// How fast the clock is slewed: 500 ppm (RFC 5905, A.1.1: MAXFREQ), a microsecond in so many.
const SLEW: u64 = 2000;
/// How wrong a clock can go by itself, in parts per million (RFC 5905, A.1.1: PHI).
const TOLERANCE_PPM: u64 = 15;

/// A correction on its way.
#[derive(Clone, Copy, Default)]
pub(super) struct Slew {
    began_us: u64,
    total_us: i64,
    /// By how much the clock could be wrong when the slew began, once that is done.
    uncertainty_us: Option<u64>,
}

impl Slew {
    pub(super) fn apply(&self, time: WallClock, now_us: u64) -> WallClock {
        let age_us = now_us.saturating_sub(self.began_us);
        let all = self.total_us.unsigned_abs();
        let done = all.min(age_us / SLEW);
        let drift = age_us / 1_000_000 * TOLERANCE_PPM;
        let sign = self.total_us.signum();
        WallClock {
            unix_us: time.unix_us.saturating_add_signed(sign * done as i64),
            uncertainty_us: self.uncertainty_us.map(|it| it + drift + (all - done)),
            ..time
        }
    }
}

/// The time of day, as another clock has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sample {
    /// When the clock since boot was 0, in microseconds since 1970-01-01 UTC.
    pub(crate) booted_us: u64,
    /// By how much that can be wrong.
    pub(crate) uncertainty_us: u64,
}

/// What a sample did to the clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Correction {
    /// There was no time of day before.
    Set,
    /// It is being slewed by so much.
    Slewed(i64),
    /// It jumped by so much.
    Stepped(i64),
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set => f.write_str("set"),
            Self::Slewed(us) => write!(f, "slewed by {us} us"),
            Self::Stepped(us) => write!(f, "stepped by {us} us"),
        }
    }
}

/// Corrects the time of day by a sample.
pub(crate) fn correct(now_us: u64, sample: Sample, source: WallClockSource) -> Correction {
    critical_section::with(|cs| {
        let state = STATE.borrow(cs);
        let (clock, correction) = corrected(state.get(), now_us, sample, source);
        state.set(State::Own(clock));
        correction
    })
}

fn corrected(
    state: State,
    now_us: u64,
    sample: Sample,
    source: WallClockSource,
) -> (Clock, Correction) {
    let clock = |booted_us, total_us| Clock {
        booted_us,
        source,
        slew: Slew {
            began_us: now_us,
            total_us,
            uncertainty_us: Some(sample.uncertainty_us),
        },
    };
    let Some(before) = state.read(now_us) else {
        return (clock(sample.booted_us, 0), Correction::Set);
    };
    let booted_us = before.unix_us.saturating_sub(now_us);
    let offset_us = sample.booted_us.wrapping_sub(booted_us).cast_signed();
    if offset_us.unsigned_abs() > STEP_US {
        let stepped = Correction::Stepped(offset_us);
        return (clock(sample.booted_us, 0), stepped);
    }
    (clock(booted_us, offset_us), Correction::Slewed(offset_us))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SECOND: u64 = 1_000_000;
    const BOOTED_US: u64 = 1_800_000_000 * SECOND;
    const HERE: WallClockSource = WallClockSource::Board("test");

    /// A clock that is to be moved by this much, corrected at `now_us`.
    fn clock(offset_us: i64, now_us: u64) -> (Clock, Correction) {
        let sample = Sample {
            booted_us: BOOTED_US.saturating_add_signed(offset_us),
            uncertainty_us: 700,
        };
        let before = State::Own(Clock::new(BOOTED_US, HERE));
        corrected(before, now_us, sample, HERE)
    }

    #[test]
    fn the_first_sample_sets_the_clock() {
        let sample = Sample {
            booted_us: BOOTED_US,
            uncertainty_us: 5,
        };
        let (clock, correction) = corrected(State::Unknown, 9, sample, HERE);
        assert_eq!(correction, Correction::Set);
        assert_eq!(clock.at(10).unix_us, BOOTED_US + 10);
        assert_eq!(clock.at(10).uncertainty_us, Some(5));
    }

    #[test]
    fn small_offsets_are_slewed_at_the_rate_and_no_further() {
        for offset_us in [100_000, -100_000_i64] {
            let (clock, correction) = clock(offset_us, 50);
            assert_eq!(correction, Correction::Slewed(offset_us));
            let moved = |after: u64| {
                let plain = BOOTED_US + 50 + after;
                clock.at(50 + after).unix_us.wrapping_sub(plain) as i64
            };
            assert_eq!(moved(0), 0, "not at once");
            assert_eq!(moved(SECOND), offset_us.signum() * 500);
            assert_eq!(moved(200 * SECOND), offset_us);
            assert_eq!(moved(2000 * SECOND), offset_us);
        }
    }

    #[test]
    fn time_goes_forward_while_it_is_slewed_back() {
        let (clock, _) = clock(-1000, 0);
        let times = (0..3 * SECOND).step_by(97).chain(0..5000);
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        let read: Vec<u64> = times.iter().map(|&it| clock.at(it).unix_us).collect();
        assert!(read.is_sorted());
        for (times, read) in times.windows(2).zip(read.windows(2)) {
            let (passed, shown) = (times[1] - times[0], read[1] - read[0]);
            assert!(passed.abs_diff(shown) <= passed / SLEW + 1);
        }
    }

    #[test]
    fn a_correction_amid_a_slew_begins_where_that_has_got() {
        let (clock, _) = clock(100_000, 0);
        let now_us = 100 * SECOND;
        let read = clock.at(now_us).unix_us;
        let sample = Sample {
            booted_us: BOOTED_US,
            uncertainty_us: 1,
        };
        let (clock, correction) = corrected(State::Own(clock), now_us, sample, HERE);
        assert_eq!(correction, Correction::Slewed(-50_000));
        assert_eq!(clock.at(now_us).unix_us, read);
        assert_eq!(clock.at(2 * now_us).unix_us, BOOTED_US + 2 * now_us);
    }

    #[test]
    fn large_offsets_are_stepped_both_ways() {
        for offset_us in [128_001, -128_001, 3600 * SECOND as i64, -(1 << 50)] {
            let (clock, correction) = clock(offset_us, 7);
            assert_eq!(correction, Correction::Stepped(offset_us));
            let expected = BOOTED_US.saturating_add_signed(offset_us) + 7;
            assert_eq!(clock.at(7).unix_us, expected);
        }
        assert_eq!(clock(128_000, 0).1, Correction::Slewed(128_000));
    }

    #[test]
    fn uncertainty_shrinks_with_the_slew_and_grows_with_age() {
        let (clock, _) = clock(1000, 0);
        let uncertainty = |at| clock.at(at).uncertainty_us;
        assert_eq!(uncertainty(0), Some(1700));
        assert_eq!(uncertainty(2 * SECOND), Some(730));
        assert_eq!(uncertainty(1002 * SECOND), Some(700 + 15_030));
    }
}
