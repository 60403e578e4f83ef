//! The clock and sleep: the host's monotonic clock, and parking the one thread that runs tasks.

use std::{
    sync::OnceLock,
    thread::{self, Thread},
    time::{Duration, Instant},
};

struct Start {
    at: Instant,
    thread: Thread,
}

static START: OnceLock<Start> = OnceLock::new();

/// Starts the clock; the calling thread is the one that sleeps.
pub(crate) fn start() {
    START.get_or_init(|| Start {
        at: Instant::now(),
        thread: thread::current(),
    });
}

pub(crate) fn now_us() -> u64 {
    // 584,000 years fit.
    START
        .get()
        .map_or(0, |start| start.at.elapsed().as_micros() as u64)
}

pub(crate) fn sleep(deadline_us: Option<u64>) {
    match deadline_us {
        None => thread::park(),
        Some(deadline) => {
            thread::park_timeout(Duration::from_micros(deadline.saturating_sub(now_us())));
        }
    }
}

pub(crate) fn wake() {
    if let Some(start) = START.get() {
        start.thread.unpark();
    }
}
