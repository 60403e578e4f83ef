//! A queue of bytes that takes memory for what is in it and no more.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::pool::{CHUNK, Pool};

/// A list of pieces this short stays when the queue is empty; a longer one goes.
const SHORT: usize = 8;
/// So many pieces everybody gets while there are any.
const FEW: usize = 2;

/// Bytes in order. Behind them there may be others that are not connected to them yet.
#[derive(Default)]
pub struct Stream {
    chunks: VecDeque<Box<[u8]>>,
    /// Where the first byte is in the first piece.
    head: usize,
    /// Bytes that are there without a gap.
    length: usize,
    /// Up to where, from the first byte, anything has been written.
    reach: usize,
}

impl Stream {
    /// How many bytes can be read.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends as much of `data` as there is memory for; returns how much that is.
    pub fn push(&mut self, pool: &mut Pool, data: &[u8]) -> usize {
        let wanted = self.length + data.len();
        let there = self.make_room(pool, wanted).min(wanted);
        let taken = there.saturating_sub(self.length);
        self.copy_in(self.length, &data[..taken]);
        self.length += taken;
        self.reach = self.reach.max(self.length);
        taken
    }

    /// Writes `data` so that its first byte lies `at` bytes behind the first one here; [`Self::extend`] makes it part of
    /// what can be read. Returns whether there was memory for it.
    pub fn write_at(&mut self, pool: &mut Pool, at: usize, data: &[u8]) -> bool {
        let end = at + data.len();
        if self.make_room(pool, end) < end {
            return false;
        }
        self.copy_in(at, data);
        self.reach = self.reach.max(end);
        true
    }

    /// The next `bytes` that were written behind the gap can be read from now on.
    pub fn extend(&mut self, bytes: usize) {
        self.length = (self.length + bytes).min(self.reach);
    }

    /// Copies bytes from `at` on, as many as `out` is long; there must be so many.
    pub fn copy(&self, at: usize, out: &mut [u8]) {
        let mut place = self.head + at;
        let mut out = out;
        while !out.is_empty() {
            let Some(chunk) = self.chunks.get(place / CHUNK) else {
                return;
            };
            let part = &chunk[place % CHUNK..];
            let count = part.len().min(out.len());
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&part[..count]);
            out = later;
            place += count;
        }
    }

    /// Takes bytes from the front, as many as there are and `out` has room for; returns how many.
    pub fn pop(&mut self, pool: &mut Pool, out: &mut [u8]) -> usize {
        let count = self.length.min(out.len());
        self.copy(0, &mut out[..count]);
        self.discard(pool, count);
        count
    }

    /// Throws away `bytes` from the front, of which there are so many.
    pub fn discard(&mut self, pool: &mut Pool, bytes: usize) {
        let bytes = bytes.min(self.length);
        self.length -= bytes;
        self.reach -= bytes;
        self.head += bytes;
        if self.reach == 0 {
            self.clear(pool);
            return;
        }
        while self.head >= CHUNK {
            if let Some(chunk) = self.chunks.pop_front() {
                pool.put(chunk);
            }
            self.head -= CHUNK;
        }
    }

    /// Throws everything away.
    pub fn clear(&mut self, pool: &mut Pool) {
        self.chunks.drain(..).for_each(|chunk| pool.put(chunk));
        if self.chunks.capacity() > SHORT {
            self.chunks = VecDeque::new();
        }
        (self.head, self.length, self.reach) = (0, 0, 0);
    }

    /// Makes sure that there is memory up to `end` bytes behind the first, if it can be had; returns up to where there is.
    fn make_room(&mut self, pool: &mut Pool, end: usize) -> usize {
        loop {
            let there = self.chunks.len() * CHUNK - self.head;
            if there >= end || self.chunks.try_reserve(1).is_err() {
                return there;
            }
            let Some(chunk) = pool.take(self.chunks.len() >= FEW) else {
                return there;
            };
            self.chunks.push_back(chunk);
        }
    }

    /// Writes where there is memory.
    fn copy_in(&mut self, at: usize, data: &[u8]) {
        let mut place = self.head + at;
        let mut data = data;
        while !data.is_empty() {
            let Some(chunk) = self.chunks.get_mut(place / CHUNK) else {
                return;
            };
            let part = &mut chunk[place % CHUNK..];
            let count = part.len().min(data.len());
            part[..count].copy_from_slice(&data[..count]);
            data = &data[count..];
            place += count;
        }
    }
}
