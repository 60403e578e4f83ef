//! The clock that the stack lives by: embassy-time, or in this crate's own tests a virtual clock.
//!
//! The tests simulate networks with loss and delay and wait for timeouts of minutes. They run on a
//! clock of their own that jumps from event to event, so they take no time and repeat exactly.

pub(crate) use smoltcp::time::{Duration, Instant};

use core::task::{Context, Waker};

/// Returns the time since boot.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    let ticks = embassy_time::Instant::now().as_micros();
    Instant::from_micros(i64::try_from(ticks).unwrap_or(i64::MAX))
}

/// Asks the clock to wake `cx` at `at`.
#[cfg(not(test))]
fn schedule(at: Instant, cx: &mut Context<'_>) {
    let ticks = u64::try_from(at.total_micros()).unwrap_or(0);
    let mut timer = embassy_time::Timer::at(embassy_time::Instant::from_micros(ticks));
    // The first poll hands the waker to the timer queue, which keeps it when `timer` is dropped.
    let _ = core::pin::Pin::new(&mut timer).poll(cx);
}

#[cfg(test)]
pub(crate) use crate::tests::clock::{now, schedule};

/// One alarm of one task, which is set only when it has to ring earlier than it is set to.
///
/// Programming a timer is a trap to the hypervisor on some machines, so an alarm that rings early
/// and finds nothing to do is cheaper than one that is moved with each frame.
#[derive(Default)]
pub(crate) struct Alarm {
    set_to: Option<Instant>,
    waker: Option<Waker>,
}

impl Alarm {
    /// Makes sure that the task of `cx` is woken at `at` or before.
    pub(crate) fn set(&mut self, at: Instant, now: Instant, cx: &mut Context<'_>) {
        let same_task = self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !same_task {
            self.waker = Some(cx.waker().clone());
            self.set_to = None;
        }
        if self
            .set_to
            .is_some_and(|set_to| set_to > now && set_to <= at)
        {
            return;
        }
        self.set_to = Some(at);
        schedule(at, cx);
    }
}
