//! Memory for bytes on their way: pieces of one size, which whoever is done with gives back for the next.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes of a piece.
pub const CHUNK: usize = 4096;

/// Pieces of memory that connections share. From the heap comes what none is spare for, and the heap gets back what
/// would be too much to keep.
pub struct Pool {
    spare: Vec<Box<[u8]>>,
    /// How few there were since [`Self::trim`].
    fewest: usize,
    /// How many spare pieces are kept, at most.
    keep: usize,
    /// Bytes of the heap that are left free by whoever has no piece yet, and by whoever has some.
    reserve: usize,
    comfort: usize,
    /// Returns how many bytes of the heap are free; without it none is ever refused for want of memory.
    free_memory: Option<fn() -> usize>,
}

impl Pool {
    /// Makes one that keeps `keep` bytes at most for who comes next. Who has no piece yet gets one as long as `reserve`
    /// bytes of the heap stay free, who has some only as long as `comfort` bytes do.
    pub fn new(
        keep: usize,
        reserve: usize,
        comfort: usize,
        free_memory: Option<fn() -> usize>,
    ) -> Pool {
        Pool {
            spare: Vec::new(),
            fewest: 0,
            keep: keep / CHUNK,
            reserve,
            comfort,
            free_memory,
        }
    }

    /// Bytes that are kept for who comes next.
    pub fn spare_bytes(&self) -> usize {
        self.spare.len() * CHUNK
    }

    /// Returns whether there is something for whoever has nothing yet.
    pub fn has_some(&self) -> bool {
        !self.spare.is_empty() || self.leaves(self.reserve)
    }

    /// Gives the heap what is kept.
    pub fn give_back(&mut self) {
        self.spare = Vec::new();
        self.fewest = 0;
    }

    /// Gives the heap what nobody has used since this was last called.
    pub fn trim(&mut self) {
        self.spare
            .truncate(self.spare.len() - self.fewest.min(self.spare.len()));
        self.fewest = self.spare.len();
    }

    fn leaves(&self, bytes: usize) -> bool {
        self.free_memory
            .is_none_or(|free| free() >= bytes.saturating_add(CHUNK))
    }

    /// Returns a piece, whose content is anything, for someone who has `some` already or none; `None` where memory is
    /// short.
    pub(crate) fn take(&mut self, some: bool) -> Option<Box<[u8]>> {
        if let Some(chunk) = self.spare.pop() {
            self.fewest = self.fewest.min(self.spare.len());
            return Some(chunk);
        }
        if !self.leaves(if some { self.comfort } else { self.reserve }) {
            return None;
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(CHUNK).ok()?;
        bytes.resize(CHUNK, 0);
        Some(bytes.into_boxed_slice())
    }

    /// Takes a piece back.
    pub(crate) fn put(&mut self, chunk: Box<[u8]>) {
        if self.spare.len() < self.keep && self.spare.try_reserve(1).is_ok() {
            self.spare.push(chunk);
        }
    }
}
