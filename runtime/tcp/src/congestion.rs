//! How much may be on its way: CUBIC (RFC 9438), in integers, since a CPU may have no floating point unit.

use crate::Micros;

/// Segments on their way before anything is known of the network (RFC 6928).
const FIRST_SEGMENTS: u32 = 10;
/// More than any window can be.
const UNLIMITED: u32 = 1 << 30;
/// In an hour a window has grown to anything; the cube of longer times has no room in 64 bits.
const LONGEST: i64 = 100_000;

/// The congestion window and how it grows. All sizes are bytes, all times of one growth milliseconds.
pub(crate) struct Congestion {
    /// The window.
    pub(crate) window: u32,
    /// Below this it grows by what is acknowledged, as at the start.
    threshold: u32,
    /// The window before it was last made smaller.
    peak: u32,
    /// When it began to grow after that.
    since: Option<Micros>,
    /// How long it takes to come back to `origin`.
    back: u32,
    origin: u32,
    /// What Reno's window would be.
    reno: u32,
}

impl Congestion {
    pub(crate) fn new(mss: u32) -> Congestion {
        Congestion {
            window: FIRST_SEGMENTS * mss,
            threshold: UNLIMITED,
            peak: 0,
            since: None,
            back: 0,
            origin: 0,
            reno: 0,
        }
    }

    /// Bytes were acknowledged while the window was in use.
    pub(crate) fn acknowledged(&mut self, bytes: u32, mss: u32, now: Micros) {
        if self.window < self.threshold {
            self.window = self.window.saturating_add(bytes).min(UNLIMITED);
            return;
        }
        let since = match self.since {
            Some(since) => since,
            None => {
                self.since = Some(now);
                self.reno = self.window;
                self.origin = self.peak.max(self.window);
                // K of RFC 9438, 4.2: the cube root of (W_max - cwnd) / C, C being 0.4 segments per second cubed.
                let missing = u64::from((self.origin - self.window) / mss.max(1));
                self.back = cube_root(missing * 2_500_000_000);
                now
            }
        };
        // W_cubic of RFC 9438, 4.2, where the window is to be when the next acknowledgements come.
        let time = (now.saturating_sub(since) / 1000) as i64;
        let away = (time - i64::from(self.back)).clamp(-LONGEST, LONGEST);
        let more = away * away * away / 1_000_000_000 * i64::from(mss) * 4 / 10;
        let target = i64::from(self.origin) + more;
        let highest = i64::from(self.window) * 3 / 2;
        let target = target.clamp(self.window.into(), highest) as u32;
        let grows = |by: u32, window: u32| {
            (u64::from(by) * u64::from(bytes) / u64::from(window.max(1))) as u32
        };
        // RFC 9438, 4.3: never behind Reno, which grows by alpha segments a round trip.
        let alpha = if self.reno < self.peak {
            mss * 9 / 17
        } else {
            mss
        };
        self.reno = self
            .reno
            .saturating_add(grows(alpha, self.window))
            .min(UNLIMITED);
        let cubic = self.window + grows(target - self.window, self.window);
        self.window = cubic.max(self.reno).min(UNLIMITED);
    }

    /// Something was lost of `flight` bytes on their way (RFC 9438, 4.6 and 4.7).
    pub(crate) fn lost(&mut self, flight: u32, mss: u32) {
        self.since = None;
        let window = self.window.min(flight.max(2 * mss));
        // Who had to give way before it was back makes more room for others.
        self.peak = match window < self.peak {
            true => window / 20 * 17,
            false => window,
        };
        self.threshold = (window / 10 * 7).max(2 * mss);
        self.window = self.threshold;
    }

    /// Nothing came back in time: from the start again (RFC 5681, 3.1).
    pub(crate) fn timed_out(&mut self, flight: u32, mss: u32) {
        self.lost(flight, mss);
        self.window = mss;
    }

    /// Nothing was on its way for a while, so that what is known may be wrong (RFC 5681, 4.1).
    pub(crate) fn idled(&mut self, mss: u32) {
        self.window = self.window.min(FIRST_SEGMENTS * mss);
        self.since = None;
    }
}

/// The cube root, rounded down.
fn cube_root(value: u64) -> u32 {
    let mut root: u64 = 0;
    for bit in (0..21).rev() {
        let with = root | 1 << bit;
        if with * with * with <= value {
            root = with;
        }
    }
    root as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots() {
        for root in [1, 2, 3, 1000, 1_000_003, 2_000_000] {
            let cube = u64::from(root) * u64::from(root) * u64::from(root);
            assert_eq!(cube_root(cube), root);
            assert_eq!(cube_root(cube + 1), root);
        }
    }

    /// One round trip: a whole window is acknowledged.
    fn round(congestion: &mut Congestion, now: Micros) {
        for _ in 0..congestion.window / 1000 {
            congestion.acknowledged(1000, 1000, now);
        }
    }

    #[test]
    fn it_doubles_until_something_is_lost_and_comes_back_as_a_cubic() {
        let mut it = Congestion::new(1000);
        for _ in 0..4 {
            round(&mut it, 0);
        }
        assert_eq!(it.window, 160_000);
        it.lost(160_000, 1000);
        assert_eq!(it.window, 112_000);
        // K is the cube root of 48 / 0.4, 4.9 seconds.
        let mut windows = std::vec::Vec::new();
        for second in 0..10 {
            for tenth in 0..10 {
                round(&mut it, second * 1_000_000 + tenth * 100_000);
            }
            windows.push(it.window);
        }
        assert!(windows.is_sorted(), "{windows:?}");
        assert!((150_000..170_000).contains(&windows[4]), "{windows:?}");
        assert!(windows[9] > 180_000, "{windows:?}");
    }

    #[test]
    fn a_timeout_begins_anew_and_a_pause_with_a_first_window() {
        let mut it = Congestion::new(1000);
        it.timed_out(10_000, 1000);
        assert_eq!(it.window, 1000);
        round(&mut it, 0);
        assert_eq!(it.window, 2000);
        it.window = 50_000;
        it.idled(1000);
        assert_eq!(it.window, 10_000);
    }

    #[test]
    fn no_number_of_anything_breaks_it() {
        let mut it = Congestion::new(65_535);
        for bytes in [0, 1, u32::MAX] {
            for now in [0, 1, u64::MAX] {
                it.acknowledged(bytes, 65_535, now);
                it.lost(bytes, 65_535);
                it.acknowledged(bytes, 65_535, now);
                it.timed_out(bytes, 65_535);
            }
        }
    }
}
