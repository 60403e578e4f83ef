//! Memory that a device reads and writes by itself, on machines whose devices do not see the CPU's caches.
//!
//! What the CPU wrote is pushed out before the device may read it, and what the CPU may have fetched is dropped before it
//! reads what the device wrote. Each piece of such memory begins and ends with a cache line ([`LINE`]), so that nothing
//! else shares one with it.

use core::ops::{Deref, DerefMut, Range};

/// As long as any line of the caches of Cortex-A7, A8 and A53 is.
pub const LINE: usize = 64;

/// What the CPU can do about its data cache. Addresses are virtual.
#[derive(Clone, Copy, Debug)]
pub struct DataCache {
    /// Writes the lines of a range back to memory.
    pub clean: fn(Range<usize>),
    /// Writes them back, and drops them.
    pub discard: fn(Range<usize>),
}

/// A value in lines of its own, which a device reads or writes too.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct Cached<T>(T);

const _: () = assert!(align_of::<Cached<u8>>() == LINE && size_of::<Cached<u8>>() == LINE);

impl<T> Cached<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// Its address, the same for the device.
    pub(crate) fn address(&self) -> usize {
        (&raw const self.0) as usize
    }

    fn range(&self) -> Range<usize> {
        self.address()..self.address() + size_of::<Self>()
    }

    /// Lets the device see what the CPU wrote.
    pub(crate) fn hand_over(&self, cache: DataCache) {
        (cache.clean)(self.range());
    }

    /// Lets the CPU see what the device wrote, or the device write what the CPU has read.
    pub(crate) fn take_over(&self, cache: DataCache) {
        (cache.discard)(self.range());
    }
}

impl<T> Deref for Cached<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Cached<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
