//! The driver of `embassy-time` on the platform's clock: one tick is a microsecond.
//!
//! Deadlines are kept per waker, whoever made it: a task of the executor, or a future inside a
//! `FuturesUnordered`. A waker has at most one entry, the earliest; it fires early for a timer that
//! was moved back, which then asks again. So the queue is as long as there are waiting futures,
//! however often they re-arm.

use crate::platform;
use alloc::collections::{BTreeMap, BTreeSet};
use core::{cell::RefCell, task::Waker};
use critical_section::Mutex;
use embassy_time_driver::Driver;

struct Timers(Mutex<RefCell<Queue>>);

embassy_time_driver::time_driver_impl!(static TIMERS: Timers = Timers(Mutex::new(RefCell::new(Queue::new()))));

impl Driver for Timers {
    fn now(&self) -> u64 {
        platform::get().map_or(0, |platform| platform.now_us())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| self.0.borrow_ref_mut(cs).schedule(at, waker));
    }
}

/// Wakes all whose deadline has come; returns the next deadline.
pub(crate) fn wake_expired(now_us: u64) -> Option<u64> {
    // Wakers run outside the critical section: they may schedule.
    while let Some(waker) = critical_section::with(|cs| TIMERS.0.borrow_ref_mut(cs).expired(now_us))
    {
        waker.wake();
    }
    critical_section::with(|cs| TIMERS.0.borrow_ref(cs).next())
}

/// What a waker is made of: its data and its kind.
type Identity = (usize, usize);

fn identity(waker: &Waker) -> Identity {
    (
        waker.data().addr(),
        core::ptr::from_ref(waker.vtable()).addr(),
    )
}

struct Queue {
    deadlines: BTreeSet<(u64, Identity)>,
    wakers: BTreeMap<Identity, (u64, Waker)>,
}

impl Queue {
    const fn new() -> Self {
        Self {
            deadlines: BTreeSet::new(),
            wakers: BTreeMap::new(),
        }
    }

    fn schedule(&mut self, at: u64, waker: &Waker) {
        // The entry keeps the waker alive, so its identity cannot come to mean another.
        let identity = identity(waker);
        if let Some((known, _)) = self.wakers.get(&identity) {
            if *known <= at {
                return;
            }
            self.deadlines.remove(&(*known, identity));
        }
        self.wakers.insert(identity, (at, waker.clone()));
        self.deadlines.insert((at, identity));
    }

    fn expired(&mut self, now: u64) -> Option<Waker> {
        let &(at, identity) = self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        self.wakers.remove(&identity).map(|(_, waker)| waker)
    }

    fn next(&self) -> Option<u64> {
        self.deadlines.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{sync::Arc, task::Wake};
    use core::sync::atomic::{AtomicU32, Ordering};

    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicU32::new(0)));
        (count.clone(), Waker::from(count))
    }

    #[test]
    fn wakes_in_order_and_not_before_time() {
        let mut queue = Queue::new();
        let (_first, one) = waker();
        let (_second, two) = waker();
        queue.schedule(200, &two);
        queue.schedule(100, &one);
        assert_eq!(queue.next(), Some(100));
        assert!(queue.expired(99).is_none());
        assert!(queue.expired(150).unwrap().will_wake(&one));
        assert!(queue.expired(150).is_none());
        assert!(queue.expired(200).unwrap().will_wake(&two));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_waker_has_one_entry_however_often_it_asks() {
        let mut queue = Queue::new();
        let (_count, waker) = waker();
        for at in (0..1000).rev() {
            queue.schedule(at, &waker);
            queue.schedule(at + 5000, &waker);
        }
        assert_eq!((queue.wakers.len(), queue.deadlines.len()), (1, 1));
        assert_eq!(queue.next(), Some(0));
    }

    #[test]
    fn an_entry_keeps_its_waker_alive() {
        let mut queue = Queue::new();
        let (count, waker) = waker();
        queue.schedule(1, &waker);
        drop(waker);
        queue.expired(1).unwrap().wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
