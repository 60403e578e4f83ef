//! The virtual clock: it stands still while tasks run and jumps to the next timer when none can.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::thread_local;

use crate::clock::{Duration, Instant};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(1_000_000) };
    static TIMERS: RefCell<BTreeMap<(i64, u64), Waker>> = const { RefCell::new(BTreeMap::new()) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn now() -> Instant {
    Instant::from_micros(NOW.get())
}

pub(crate) fn schedule(at: Instant, cx: &mut Context<'_>) {
    COUNT.set(COUNT.get() + 1);
    let key = (at.total_micros(), COUNT.get());
    TIMERS.with_borrow_mut(|timers| timers.insert(key, cx.waker().clone()));
}

/// Jumps to the next timer. Returns false if there is none.
pub(super) fn advance() -> bool {
    TIMERS.with_borrow_mut(|timers| {
        let Some((&(at, _), _)) = timers.first_key_value() else {
            return false;
        };
        NOW.set(NOW.get().max(at));
        let later = timers.split_off(&(NOW.get() + 1, 0));
        for (_, waker) in std::mem::replace(timers, later) {
            waker.wake();
        }
        true
    })
}

pub(super) async fn sleep_ms(milliseconds: u64) {
    let end = now() + Duration::from_millis(milliseconds);
    poll_fn(|cx| {
        if now() >= end {
            return Poll::Ready(());
        }
        schedule(end, cx);
        Poll::Pending
    })
    .await
}
