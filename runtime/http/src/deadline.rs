//! Deadlines: every wait of a connection has one, and the server keeps a single timer for all.
//!
//! A connection that has to wait notes in its [`Slot`] until when, and with which waker. The
//! [`Alarm`] sleeps until the earliest of them, then wakes whoever is overdue. Deadlines mostly
//! move to later and are mostly met, so the alarm looks at them only when it goes off: a request
//! costs no timer.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use embassy_time::{Duration, Instant, Timer};

const NEVER: Instant = Instant::MAX;

/// Until when something may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// This long after the wait begins.
    Within(Duration),
    /// This long after the wait begins, or earlier if the place is needed for someone else.
    Idle(Duration),
    /// A fixed time, for waits that together have one deadline.
    At(Instant),
    /// Until the server ends: a stream waits for something to send.
    #[cfg(feature = "streaming")]
    ServerEnds,
}

/// The deadline has come first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expired;

struct Entry {
    deadline: Instant,
    waker: Option<Waker>,
    expired: bool,
    /// When the connection began to wait for a request, if it does: it can be closed for others.
    idle_since: Option<Instant>,
    #[cfg(feature = "streaming")]
    streaming: bool,
}

const FREE: Entry = Entry {
    deadline: NEVER,
    waker: None,
    expired: false,
    idle_since: None,
    #[cfg(feature = "streaming")]
    streaming: false,
};

/// The deadlines of all connections.
pub(crate) struct Deadlines {
    entries: RefCell<Vec<Entry>>,
    /// Entries that nobody has.
    free: RefCell<Vec<usize>>,
    /// No deadline is earlier than this.
    earliest: Cell<Instant>,
    #[cfg(feature = "streaming")]
    ending: Cell<bool>,
}

impl Deadlines {
    pub(crate) const fn new() -> Self {
        Self {
            entries: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            earliest: Cell::new(NEVER),
            #[cfg(feature = "streaming")]
            ending: Cell::new(false),
        }
    }

    /// Returns a place for the deadline of one connection.
    pub(crate) fn slot(&self) -> Slot<'_> {
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut entries = self.entries.borrow_mut();
            entries.push(FREE);
            entries.len() - 1
        });
        Slot {
            deadlines: self,
            index,
        }
    }

    /// Makes the deadline of the connection that has been idle for the longest time come at once;
    /// returns whether there was one.
    pub(crate) fn expire_longest_idle(&self) -> bool {
        let mut entries = self.entries.borrow_mut();
        let idle = entries
            .iter_mut()
            .filter(|entry| entry.idle_since.is_some());
        let longest = idle.min_by_key(|entry| entry.idle_since);
        longest.map(Entry::expire).is_some()
    }

    /// Makes the deadline of every stream come, of this moment and later.
    #[cfg(feature = "streaming")]
    pub(crate) fn expire_streams(&self) {
        self.ending.set(true);
        let mut entries = self.entries.borrow_mut();
        let streams = entries.iter_mut().filter(|entry| entry.streaming);
        streams.for_each(Entry::expire);
    }

    /// Wakes those whose deadline has come, and notes the earliest of the others.
    fn expire(&self, now: Instant) {
        let mut earliest = NEVER;
        for entry in self.entries.borrow_mut().iter_mut() {
            if entry.deadline <= now {
                entry.expire();
            }
            earliest = earliest.min(entry.deadline);
        }
        self.earliest.set(earliest);
    }
}

impl Entry {
    fn expire(&mut self) {
        self.deadline = NEVER;
        self.idle_since = None;
        #[cfg(feature = "streaming")]
        {
            self.streaming = false;
        }
        self.expired = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// The one timer.
pub(crate) struct Alarm<'s> {
    deadlines: &'s Deadlines,
    timer: Timer,
    set_to: Instant,
}

impl<'s> Alarm<'s> {
    pub(crate) fn new(deadlines: &'s Deadlines) -> Self {
        Self {
            deadlines,
            timer: Timer::at(NEVER),
            set_to: NEVER,
        }
    }

    /// Expires what is overdue and makes sure that `context` is woken for what comes next.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) {
        loop {
            let earliest = self.deadlines.earliest.get();
            if earliest != self.set_to {
                self.timer = Timer::at(earliest);
                self.set_to = earliest;
            }
            if earliest == NEVER || Pin::new(&mut self.timer).poll(context).is_pending() {
                return;
            }
            self.deadlines.expire(Instant::now());
        }
    }
}

/// The place of one connection among the [`Deadlines`].
pub(crate) struct Slot<'s> {
    deadlines: &'s Deadlines,
    index: usize,
}

impl Slot<'_> {
    /// Runs `future` until the deadline.
    pub(crate) async fn run<F: Future>(
        &self,
        until: Until,
        future: F,
    ) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        let mut waiting = false;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                if waiting {
                    self.disarm();
                }
                return Poll::Ready(Ok(output));
            }
            if !waiting {
                self.arm(until);
                waiting = true;
            }
            self.wait(context)
        })
        .await
    }

    fn arm(&self, until: Until) {
        let (deadline, idle_since) = match until {
            Until::Within(time) => (Instant::now().saturating_add(time), None),
            Until::Idle(time) => {
                let now = Instant::now();
                (now.saturating_add(time), Some(now))
            }
            Until::At(deadline) => (deadline, None),
            #[cfg(feature = "streaming")]
            Until::ServerEnds if self.deadlines.ending.get() => (Instant::now(), None),
            #[cfg(feature = "streaming")]
            Until::ServerEnds => (NEVER, None),
        };
        let earliest = self.deadlines.earliest.get();
        self.deadlines.earliest.set(earliest.min(deadline));
        self.with(|entry| {
            entry.deadline = deadline;
            entry.idle_since = idle_since;
            #[cfg(feature = "streaming")]
            {
                entry.streaming = matches!(until, Until::ServerEnds);
            }
        });
    }

    fn disarm(&self) {
        self.with(|entry| {
            entry.deadline = NEVER;
            entry.idle_since = None;
            #[cfg(feature = "streaming")]
            {
                entry.streaming = false;
            }
            entry.expired = false;
        });
    }

    fn wait<T>(&self, context: &mut Context<'_>) -> Poll<Result<T, Expired>> {
        self.with(|entry| {
            if core::mem::take(&mut entry.expired) {
                return Poll::Ready(Err(Expired));
            }
            match &mut entry.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(&mut self.deadlines.entries.borrow_mut()[self.index])
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.with(|entry| *entry = FREE);
        self.deadlines.free.borrow_mut().push(self.index);
    }
}
