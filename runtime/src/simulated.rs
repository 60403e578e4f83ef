//! Time for tests and fuzzers on hosts that poll futures by themselves, without [`crate::run`]: what the executor does
//! with a platform's clock.

use crate::{Platform, platform, time};

/// Makes `platform` the one whose clock timers go by.
pub fn install(platform: &'static dyn Platform) {
    platform::install(platform);
}

/// Wakes all whose deadline has come; returns the next deadline, in microseconds of the platform's clock.
pub fn wake_expired(now_us: u64) -> Option<u64> {
    time::wake_expired(now_us)
}
