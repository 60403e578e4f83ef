//! How long an acknowledgement takes, and how long to wait for one (RFC 6298).

use crate::Micros;

/// Before anything is known (RFC 6298, 2.1).
const FIRST: u32 = 1_000_000;
/// Never sooner: a peer may delay acknowledgements. RFC 6298 says a second, most stacks a fifth of it.
const LEAST: u32 = 200_000;
/// Never later (RFC 6298, 2.5, allows a minute or more).
const MOST: u32 = 60_000_000;
/// The clock's fineness (RFC 6298, 2.3), and what a busy machine adds.
const GRAIN: u32 = 10_000;
/// How often the time to wait is doubled, at most.
const DOUBLINGS: u8 = 10;

/// A smoothed time in microseconds, and how much it varies.
pub(crate) struct Rtt {
    smoothed: u32,
    variation: u32,
    /// How often in a row there was no answer in time.
    pub(crate) unanswered: u8,
}

impl Rtt {
    pub(crate) const fn new() -> Rtt {
        Rtt {
            smoothed: 0,
            variation: 0,
            unanswered: 0,
        }
    }

    /// Takes a measured time into account (RFC 6298, 2.2 and 2.3).
    pub(crate) fn sample(&mut self, time: Micros) {
        let time = u32::try_from(time).unwrap_or(MOST).clamp(1, MOST);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (time, time / 2);
            return;
        }
        let difference = self.smoothed.abs_diff(time);
        self.variation = self.variation - self.variation / 4 + difference / 4;
        self.smoothed = self.smoothed - self.smoothed / 8 + time / 8;
    }

    /// How long to wait for an acknowledgement now.
    pub(crate) fn timeout(&self) -> Micros {
        let once = match self.smoothed {
            0 => FIRST,
            smoothed => smoothed + (4 * self.variation).max(GRAIN),
        };
        let once = Micros::from(once.clamp(LEAST, MOST));
        (once << self.unanswered.min(DOUBLINGS)).min(MOST.into())
    }

    /// There was no answer in time (RFC 6298, 5.5).
    pub(crate) fn back_off(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }
}
