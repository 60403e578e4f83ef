//! Buffers that connections borrow while a request is under way.
//!
//! Most connections are idle, and a request that arrives in one piece is answered before any other
//! connection runs: so a few pairs of buffers do for hundreds of connections.

use alloc::vec::Vec;
use core::cell::RefCell;

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

/// Buffers that nobody uses at the moment.
pub(crate) struct Pool(RefCell<Vec<Buffers>>);

impl Pool {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Returns a pair of empty buffers.
    pub(crate) fn take(&self) -> Buffers {
        let spare = self.0.borrow_mut().pop();
        spare.unwrap_or_else(|| Buffers {
            input: Input {
                bytes: alloc::vec![0; INPUT],
                start: 0,
                end: 0,
            },
            output: Vec::with_capacity(OUTPUT),
        })
    }

    /// Takes a pair back.
    pub(crate) fn put(&self, mut buffers: Buffers) {
        let mut spare = self.0.borrow_mut();
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

    /// Returns what is not done with, to be parsed in place.
    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
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
