//! Other sides of shared pages that do whatever a script of bytes says, for this crate's tests and
//! fuzzers, on a host.
//!
//! | function | plays | against |
//! |---|---|---|
//! | [`netfront_receive`] | a network backend | the receiving half of [`crate::netfront`] |
//! | [`netfront_transmit`] | a network backend | the sending half |
//! | [`xenstore`] | the store's daemon | [`crate::xenstore::Xenstore`] |
//! | [`console`] | the console's daemon | [`crate::console::Console`] |
//!
//! A script mixes honest steps with wild ones, and with what this domain does meanwhile. Every script
//! must end without a panic, with what the driver promises kept: that is what the functions assert. So
//! a fuzzer needs nothing but bytes, and a script that it finds is a test as it stands.

#[cfg(test)]
pub(crate) mod accesses;
mod terminal;

pub use crate::netfront::hostile::{receive as netfront_receive, transmit as netfront_transmit};
pub use crate::xenstore::hostile::store as xenstore;
pub use terminal::console;

/// Bytes that say what happens; zeros follow when they are used up.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns whether there is nothing more to do.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (now, later) = self.0.split_at(N.min(self.0.len()));
        self.0 = later;
        let mut bytes = [0; N];
        bytes[..now.len()].copy_from_slice(now);
        bytes
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// Returns a number below `limit`, which is at most 65,536.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.u16()) % limit
    }
}

/// Returns `length` bytes that differ from those of another `seed`, and from their neighbours.
pub(crate) fn pattern(seed: u32, length: usize) -> alloc::vec::Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}
