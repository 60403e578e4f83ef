//! [`RateLimiter`]: how often one address may ask.

use alloc::vec::Vec;
use core::net::IpAddr;

use embassy_time::{Duration, Instant};

/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 64;

/// A bucket of tokens for each address: a request takes one, and one comes back every `refill`.
///
/// IPv6 addresses count by their first 64 bits, since a subscriber has all of the rest. Where more
/// addresses ask than are remembered, the one whose bucket is the fullest is forgotten.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    burst: u32,
    refill: Duration,
    buckets: Vec<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    network: Network,
    /// When it will be full again: all that has to be known about it.
    full_at: Instant,
}

/// Who is counted as one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Network {
    V4([u8; 4]),
    V6([u16; 4]),
}

impl RateLimiter {
    /// Returns a limiter that grants `burst` requests at once and one more every `refill`.
    pub(crate) const fn new(burst: u32, refill: Duration) -> Self {
        Self {
            burst,
            refill,
            buckets: Vec::new(),
        }
    }

    /// Takes a token of `address`.
    ///
    /// # Errors
    /// When there is none: the time until there will be.
    pub(crate) fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let refill = self.refill;
        let most = refill * self.burst;
        let bucket = self.bucket(Network::of(address), now);
        let full_at = bucket.full_at.max(now) + refill;
        let missing = full_at.saturating_duration_since(now);
        if missing > most {
            return Err(missing - most);
        }
        bucket.full_at = full_at;
        Ok(())
    }

    fn bucket(&mut self, network: Network, now: Instant) -> &mut Bucket {
        let known = self
            .buckets
            .iter()
            .position(|bucket| bucket.network == network);
        let index = known.unwrap_or_else(|| {
            self.make_room(now);
            self.buckets.push(Bucket {
                network,
                full_at: now,
            });
            self.buckets.len() - 1
        });
        &mut self.buckets[index]
    }

    fn make_room(&mut self, now: Instant) {
        // A full bucket is like none.
        self.buckets.retain(|bucket| bucket.full_at > now);
        if self.buckets.len() < MAX_ADDRESSES {
            return;
        }
        let buckets = self.buckets.iter().enumerate();
        if let Some((fullest, _)) = buckets.min_by_key(|(_, bucket)| bucket.full_at) {
            self.buckets.swap_remove(fullest);
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFILL: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_then_one_at_a_time() {
        let mut limiter = RateLimiter::new(3, REFILL);
        let who = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(limiter.take(who, at(10)), Ok(()));
        }
        assert_eq!(limiter.take(who, at(10)), Err(REFILL));
        assert_eq!(limiter.take(who, at(11)), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take(who, at(12)), Ok(()));
        assert_eq!(
            limiter.take(who, at(12)),
            Err(REFILL),
            "asking in vain costs nothing"
        );
        // However long the rest, no more than a burst.
        for _ in 0..3 {
            assert_eq!(limiter.take(who, at(1000)), Ok(()));
        }
        assert_eq!(limiter.take(who, at(1000)), Err(REFILL));
    }

    #[test]
    fn addresses_do_not_pay_for_each_other() {
        let mut limiter = RateLimiter::new(1, REFILL);
        for who in [
            "192.0.2.1",
            "192.0.2.2",
            "2001:db8::1",
            "2001:db8:0:1::1",
            "::1",
        ] {
            assert_eq!(limiter.take(address(who), at(0)), Ok(()), "{who}");
        }
        for who in [
            "192.0.2.1",
            "::ffff:192.0.2.2",
            "2001:db8::ffff",
            "2001:db8:0:1:2::",
        ] {
            assert_eq!(limiter.take(address(who), at(0)), Err(REFILL), "{who}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_fullest() {
        let mut limiter = RateLimiter::new(10, REFILL);
        let who = |number: u32| IpAddr::from(number.to_be_bytes());
        for _ in 0..10 {
            assert_eq!(limiter.take(who(0), at(0)), Ok(()));
        }
        for number in 1..10_000 {
            assert_eq!(limiter.take(who(number), at(0)), Ok(()));
            assert!(limiter.buckets.len() <= MAX_ADDRESSES);
        }
        assert_eq!(limiter.take(who(0), at(0)), Err(REFILL), "it is remembered");
        assert_eq!(limiter.take(who(10_000), at(100)), Ok(()));
        assert_eq!(limiter.buckets.len(), 1, "full buckets are forgotten");
    }
}
