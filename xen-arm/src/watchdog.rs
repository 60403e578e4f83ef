//! Xen's watchdog (`sched.h`, `SCHEDOP_watchdog`), kept alive by whoever runs the tasks.
//!
//! A hang means that tasks never get back to their executor. So the watchdog is armed while tasks
//! run and poked now and then; a domain that sleeps for long takes it back, and so needs no timer
//! only to stay alive. The state is plain numbers: the executor's loop asks before and after it
//! sleeps.

use crate::{XenError, hypercall};

/// Decides when to poke Xen's watchdog.
#[derive(Debug)]
pub struct Watchdog {
    timeout_s: u32,
    armed: Option<Armed>,
}

/// Xen's watchdog as it is now: one that is taken back has no number any more.
#[derive(Clone, Copy, Debug)]
struct Armed {
    id: u32,
    /// When it was poked last, microseconds.
    poked_us: u64,
}

impl Watchdog {
    /// Arms a watchdog that ends the domain when it was not poked for `timeout_s` seconds.
    ///
    /// # Errors
    /// [`XenError`]: this Xen has no watchdog left, or none.
    pub fn new(timeout_s: u32, now_us: u64) -> Result<Self, XenError> {
        let id = hypercall::set_watchdog(0, timeout_s)?;
        Ok(Self {
            timeout_s,
            armed: Some(Armed {
                id,
                poked_us: now_us,
            }),
        })
    }

    fn interval_us(&self) -> u64 {
        u64::from(self.timeout_s) * 1_000_000 / 4
    }

    /// Called when tasks are about to run: arms or pokes the watchdog where it is time.
    pub fn run(&mut self, now_us: u64) {
        let due = |it: Armed| now_us.saturating_sub(it.poked_us) >= self.interval_us();
        if self.armed.is_none_or(due) {
            let id = self.armed.map_or(0, |it| it.id);
            // It was accepted once; if all are taken meanwhile, the next turn tries again.
            self.armed = match (hypercall::set_watchdog(id, self.timeout_s), id) {
                (Ok(new), 0) => Some(new),
                (Ok(_), id) => Some(id),
                (Err(_), _) => None,
            }
            .map(|id| Armed {
                id,
                poked_us: now_us,
            });
        }
    }

    /// Called before a sleep that is to end at `deadline_us` or never; returns when it is to end so
    /// that the watchdog can be seen to.
    ///
    /// A sleep that lasts as long as the interval is ended once; if nothing else happened until
    /// then, the watchdog is taken back and the domain sleeps on undisturbed.
    pub fn sleep(&mut self, now_us: u64, deadline_us: Option<u64>) -> Option<u64> {
        let Some(armed) = self.armed else {
            return deadline_us;
        };
        let due = armed.poked_us + self.interval_us();
        if deadline_us.is_some_and(|it| it <= due) {
            return deadline_us;
        }
        if now_us < due {
            return Some(due);
        }
        // It is armed, so this is accepted.
        let _ = hypercall::set_watchdog(armed.id, 0);
        self.armed = None;
        deadline_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypercall::host;
    use alloc::{boxed::Box, rc::Rc, vec::Vec};
    use core::cell::RefCell;

    type Calls = Rc<RefCell<Vec<(u32, u32)>>>;

    /// A watchdog of 8 s, and what Xen is asked about it: (id, timeout).
    fn watchdog() -> (Watchdog, Calls) {
        let calls = Calls::default();
        let log = calls.clone();
        host::install(Box::new(move |_, [command, structure, _]| {
            assert_eq!(command, 6);
            // SAFETY: `struct sched_watchdog`: id and timeout.
            log.borrow_mut()
                .push(unsafe { (structure as *const (u32, u32)).read() });
            1
        }));
        let watchdog = Watchdog::new(8, 0).unwrap();
        assert_eq!(calls.take(), [(0, 8)]);
        (watchdog, calls)
    }

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_busy_domain_pokes_it_now_and_then() {
        let (mut watchdog, calls) = watchdog();
        for millisecond in 0..10_000 {
            watchdog.run(millisecond * 1000);
            assert_eq!(watchdog.sleep(millisecond * 1000, Some(0)), Some(0));
        }
        assert_eq!(calls.take(), [(1, 8); 4]);
    }

    #[test]
    fn an_idle_domain_sleeps_undisturbed_after_one_interval() {
        let (mut watchdog, calls) = watchdog();
        assert_eq!(watchdog.sleep(SECOND, None), Some(2 * SECOND));
        assert_eq!(watchdog.sleep(2 * SECOND, None), None);
        assert_eq!(watchdog.sleep(3 * SECOND, Some(9)), Some(9));
        assert_eq!(calls.take(), [(1, 0)]);
        watchdog.run(100 * SECOND);
        watchdog.run(100 * SECOND + 1);
        assert_eq!(
            calls.take(),
            [(0, 8)],
            "a new one: Xen has forgotten the old one"
        );
        watchdog.run(103 * SECOND);
        assert_eq!(calls.take(), [(1, 8)]);
    }
}
