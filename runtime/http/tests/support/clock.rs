//! The driver of `embassy-time` in tests: each thread has its own time, which stands still until
//! the test moves it.

use std::cell::RefCell;
use std::task::Waker;

struct Clock;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

thread_local! {
    static TIME: RefCell<(u64, Vec<(u64, Waker)>)> = const { RefCell::new((0, Vec::new())) };
}

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        TIME.with_borrow(|time| time.0)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        TIME.with_borrow_mut(|(_, timers)| {
            timers.retain(|(_, other)| !other.will_wake(waker));
            timers.push((at, waker.clone()));
        });
    }
}

/// Moves this thread's time and wakes whose time has come.
pub fn advance(microseconds: u64) {
    let due: Vec<Waker> = TIME.with_borrow_mut(|(now, timers)| {
        *now += microseconds;
        let now = *now;
        timers
            .extract_if(.., |(at, _)| *at <= now)
            .map(|(_, waker)| waker)
            .collect()
    });
    due.into_iter().for_each(Waker::wake);
}

/// Returns how many timers of this thread will ever fire.
pub fn pending_timers() -> usize {
    TIME.with_borrow(|(_, timers)| timers.iter().filter(|(at, _)| *at != u64::MAX).count())
}
