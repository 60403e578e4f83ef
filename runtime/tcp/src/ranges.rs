//! Ranges of sequence numbers: what arrived behind a gap, what the peer says arrived behind one.

use alloc::vec::Vec;

use crate::Seq;

/// So many ranges at most; whoever sends more of them has the rest sent again.
const MOST: usize = 32;

/// Ranges in order that neither touch nor overlap.
#[derive(Default)]
pub(crate) struct Ranges(Vec<(Seq, Seq)>);

impl Ranges {
    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.0.iter().copied()
    }

    /// Adds the numbers from `from` up to, not with, `to`. Returns whether there was room.
    pub(crate) fn add(&mut self, from: Seq, to: Seq) -> bool {
        let first = self.0.partition_point(|range| range.1.is_before(from));
        let last = self.0.partition_point(|range| !range.0.is_after(to));
        if first < last {
            let joined = (self.0[first].0.min(from), self.0[last - 1].1.max(to));
            self.0[first] = joined;
            self.0.drain(first + 1..last);
            return true;
        }
        if self.0.len() >= MOST || self.0.try_reserve(1).is_err() {
            return false;
        }
        self.0.insert(first, (from, to));
        true
    }

    /// Forgets what is before `seq`. Returns the end of the range that `seq` is in or at the beginning of.
    pub(crate) fn advance(&mut self, seq: Seq) -> Option<Seq> {
        let over = self.0.partition_point(|range| !range.1.is_after(seq));
        self.0.drain(..over);
        let first = self.0.first_mut().filter(|range| !range.0.is_after(seq))?;
        first.0 = seq;
        Some(first.1)
    }

    /// The end of the last one.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.0.last().map(|range| range.1)
    }

    /// Bytes before `seq` that are in a range.
    pub(crate) fn bytes_before(&self, seq: Seq) -> u32 {
        let parts = self.0.iter().take_while(|range| range.0.is_before(seq));
        parts.map(|range| range.1.min(seq).since(range.0)).sum()
    }

    /// Returns the first numbers from `seq` on that are in none: the first of them, and where the next range begins.
    pub(crate) fn gap(&self, seq: Seq) -> (Seq, Option<Seq>) {
        let at = self.0.partition_point(|range| !range.1.is_after(seq));
        match self.0.get(at) {
            Some(range) if !range.0.is_after(seq) => {
                (range.1, self.0.get(at + 1).map(|next| next.0))
            }
            next => (seq, next.map(|next| next.0)),
        }
    }
}
