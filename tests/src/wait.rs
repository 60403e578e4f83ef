//! Polling with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take that should take a second: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(20);

/// Returns what `ready` returns as soon as that is something.
///
/// # Panics
/// When it is nothing for `deadline`; the message says `what` was waited for.
pub fn wait_until<T>(what: &str, deadline: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}
