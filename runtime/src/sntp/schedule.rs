//! When the server is asked again (RFC 4330, 10).

use super::message::Refusal;

/// The least time between two requests: "15 seconds" (RFC 4330, 10), and a power of two as all of them.
const RETRY_S: u64 = 16;
/// The first time after an answer, and the longest.
const FIRST_S: u64 = 64;
const LONGEST_S: u64 = 1024;

/// How often the server is asked.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The last interval, and whether an answer had come before it.
    interval_s: u64,
    answered: bool,
    /// What the server has asked for by a kiss-o'-death.
    least_s: u64,
}

impl Schedule {
    pub(super) const fn new() -> Self {
        Self {
            interval_s: 0,
            answered: false,
            least_s: RETRY_S,
        }
    }

    /// Returns whether an answer came the last time.
    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }

    /// Returns whether that no answer comes is something new.
    pub(super) fn is_news(&self) -> bool {
        self.answered || self.interval_s == 0
    }

    /// Returns for how many seconds to wait after an answer: twice as long each time.
    pub(super) fn after_answer(&mut self) -> u64 {
        self.next(true, FIRST_S)
    }

    /// Returns for how many seconds to wait after there was no answer, twice as long each time; `None` when the
    /// server wants to be asked no more.
    pub(super) fn after_failure(&mut self, refusal: Option<Refusal>) -> Option<u64> {
        // RFC 5905, 7.4.
        match refusal {
            Some(Refusal::KissOfDeath(code)) if matches!(&code, b"DENY" | b"RSTR") => return None,
            Some(Refusal::KissOfDeath(code)) if &code == b"RATE" => {
                self.least_s = (2 * self.least_s.max(FIRST_S)).min(LONGEST_S);
            }
            _ => {}
        }
        Some(self.next(false, RETRY_S))
    }

    fn next(&mut self, answered: bool, first_s: u64) -> u64 {
        let again = self.answered == answered;
        self.interval_s = match self.interval_s {
            last if again && last > 0 => 2 * last,
            _ => first_s,
        };
        self.interval_s = self.interval_s.clamp(self.least_s, LONGEST_S);
        self.answered = answered;
        self.interval_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let mut next = || schedule.after_failure(None).unwrap();
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn answers_make_it_ask_less_often() {
        let mut schedule = Schedule::new();
        let waits = [(); 7].map(|()| schedule.after_answer());
        assert_eq!(waits, [64, 128, 256, 512, 1024, 1024, 1024]);
    }

    #[test]
    fn silence_makes_it_back_off_and_an_answer_begins_anew() {
        let mut schedule = Schedule::new();
        let waits = failures(&mut schedule, 8);
        assert_eq!(waits, [16, 32, 64, 128, 256, 512, 1024, 1024]);
        assert_eq!(schedule.after_answer(), 64);
        assert_eq!(failures(&mut schedule, 2), [16, 32]);
    }

    #[test]
    fn a_server_that_is_asked_too_often_is_asked_less_for_good() {
        let mut schedule = Schedule::new();
        let rate = Some(Refusal::KissOfDeath(*b"RATE"));
        schedule.after_answer();
        assert_eq!(schedule.after_failure(rate), Some(128));
        assert_eq!(schedule.after_failure(rate), Some(256));
        assert_eq!(schedule.after_answer(), 256);
        assert_eq!(failures(&mut schedule, 1), [256]);
        for _ in 0..9 {
            schedule.after_failure(rate);
        }
        assert_eq!(schedule.after_failure(rate), Some(1024));
    }

    #[test]
    fn a_server_that_denies_is_asked_no_more() {
        for code in [*b"DENY", *b"RSTR"] {
            let refusal = Some(Refusal::KissOfDeath(code));
            assert_eq!(Schedule::new().after_failure(refusal), None);
        }
        let other = Some(Refusal::KissOfDeath(*b"INIT"));
        assert_eq!(Schedule::new().after_failure(other), Some(16));
    }
}
