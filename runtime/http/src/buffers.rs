//! Buffers that connections borrow while a request is under way.
//!
//! Most connections are idle, and a request that arrives in one piece is answered before any other
//! connection runs: so a few pairs of buffers do for hundreds of connections.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// First size of an input buffer: enough for most heads.
const INPUT: usize = 1024;
/// First size of an output buffer: a head and a small body.
const OUTPUT: usize = 1024;
/// A buffer that has grown beyond this is not kept.
const KEEP: usize = 4096;
/// Pairs that are kept for the next request.
const SPARE_PAIRS: usize = 8;

/// What a connection needs while a request is under way.
pub(crate) struct Buffers {
    pub(crate) input: Input,
    pub(crate) output: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            input: Input {
                bytes: alloc::vec![0; INPUT],
                start: 0,
                end: 0,
            },
            output: Vec::with_capacity(OUTPUT),
        }
    }
}

/// Buffers that nobody uses at the moment, and how many there may be in all.
pub(crate) struct Pool {
    spare: RefCell<Vec<Buffers>>,
    /// How many more may be lent.
    left: Cell<usize>,
    /// Who waits for one.
    waiting: RefCell<VecDeque<Waker>>,
}

impl Pool {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            spare: RefCell::new(Vec::new()),
            left: Cell::new(most),
            waiting: RefCell::new(VecDeque::new()),
        }
    }

    /// Waits until a pair may be lent.
    pub(crate) async fn take(&self) -> Buffers {
        poll_fn(|context| {
            let left = self.left.get();
            if left > 0 {
                self.left.set(left - 1);
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            let waker = context.waker();
            if !waiting.iter().any(|known| known.will_wake(waker)) {
                waiting.push_back(waker.clone());
            }
            Poll::Pending
        })
        .await;
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a pair back.
    pub(crate) fn put(&self, mut buffers: Buffers) {
        self.left.set(self.left.get() + 1);
        if let Some(next) = self.waiting.borrow_mut().pop_front() {
            next.wake();
        }
        let mut spare = self.spare.borrow_mut();
        let grown = buffers.input.bytes.len() > KEEP || buffers.output.capacity() > KEEP;
        if spare.len() < SPARE_PAIRS && !grown {
            buffers.input.clear();
            buffers.output.clear();
            spare.push(buffers);
        }
    }
}

/// Bytes that have arrived and are not done with.
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// Returns what is not done with.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns whether everything is done with.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns room for more, made by moving or growing; empty if `limit` bytes wait already.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let grown = (2 * self.end).clamp(INPUT, limit.max(self.end));
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Notes that `count` bytes have been put into the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Notes that the first `count` bytes are done with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Adds bytes that have been read elsewhere.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if self.bytes.len() < self.end + bytes.len() {
            self.bytes.resize(self.end + bytes.len(), 0);
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}
