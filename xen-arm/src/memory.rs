//! Memory that another domain, or Xen, reads and writes while this one does.
//!
//! There is never a reference to its plain bytes. Numbers are atomics, so that each access happens
//! once and as a whole; longer pieces are copied out and in. What was read is an allegation until it
//! was checked, and it is not read again.

use crate::Frame;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::{
    alloc::Layout,
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
};

/// One or more whole pages of shared memory.
#[derive(Debug)]
pub struct SharedMemory {
    start: NonNull<u8>,
    bytes: usize,
    /// From the heap, to which it goes back.
    owned: bool,
}

// SAFETY: Its memory is accessed by atomic operations and copies made of them; whoever has the value
// has the right to the memory.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Takes `pages` zeroed pages, contiguous, from the heap; `None` when it has not that many.
    pub fn allocate(pages: usize) -> Option<Self> {
        let bytes = pages.checked_mul(Frame::BYTES).filter(|&it| it > 0)?;
        // SAFETY: The size is not zero.
        let start = unsafe { alloc_zeroed(Self::layout(bytes)?) };
        Some(Self {
            start: NonNull::new(start)?,
            bytes,
            owned: true,
        })
    }

    /// Takes over `pages` pages from `address` on, which are not of the heap and stay for good.
    ///
    /// # Panics
    /// When `address` is 0 or not that of a page: callers pass what Xen or the device tree gave
    /// only after they have looked at it.
    ///
    /// # Safety
    /// 1. The pages are mapped as normal memory, for reading and writing, for good.
    /// 2. Everything else that uses them, in this domain, does so through values of this type.
    pub unsafe fn at(address: usize, pages: usize) -> Self {
        assert!(
            address.is_multiple_of(Frame::BYTES),
            "pages begin on a page"
        );
        Self {
            start: NonNull::new(address as *mut u8).expect("page zero is never shared"),
            bytes: pages * Frame::BYTES,
            owned: false,
        }
    }

    /// Never gives the memory back to the heap: what it shows is no longer the heap's.
    pub(crate) fn keep(mut self) -> Self {
        self.owned = false;
        self
    }

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, Frame::BYTES).ok()
    }

    /// Returns its size in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Returns `false`: there is at least one page.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns how many pages it has.
    pub fn pages(&self) -> usize {
        self.bytes / Frame::BYTES
    }

    /// Returns the frame of page `number`.
    pub fn frame(&self, number: usize) -> Frame {
        debug_assert!(number < self.pages());
        // Memory is mapped onto itself.
        let frame = Frame::of((self.address() + number * Frame::BYTES) as u64);
        if cfg!(target_os = "none") {
            frame
        } else {
            // A test's memory has wider addresses than grant tables of version 1 take.
            Frame(frame.0 & u64::from(u32::MAX))
        }
    }

    /// Returns its address.
    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Returns a pointer to the `T` at `offset`, which lies within the memory, aligned.
    fn pointer<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset.is_multiple_of(size_of::<T>()) && offset + size_of::<T>() <= self.bytes,
            "an offset that this crate computed lies within the shared memory"
        );
        #[cfg(test)]
        crate::hostile::accesses::note(self.address() + offset, size_of::<T>());
        self.start.as_ptr().wrapping_add(offset).cast()
    }

    /// Returns the byte at `offset`.
    pub fn u8(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: Aligned and within memory that lives as long as `self`; accessed atomically only.
        unsafe { AtomicU8::from_ptr(self.pointer(offset)) }
    }

    /// Returns the two bytes at `offset`.
    pub fn u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: As in `u8`.
        unsafe { AtomicU16::from_ptr(self.pointer(offset)) }
    }

    /// Returns the four bytes at `offset`.
    pub fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: As in `u8`.
        unsafe { AtomicU32::from_ptr(self.pointer(offset)) }
    }

    /// Returns the eight bytes at `offset`.
    pub fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: As in `u8`.
        unsafe { AtomicU64::from_ptr(self.pointer(offset)) }
    }

    /// Returns the `T`s at `offset`, which lie within the memory, aligned.
    fn all<T>(&self, offset: usize, count: usize) -> &[T] {
        let bytes = count * size_of::<T>();
        assert!(offset <= self.bytes && bytes <= self.bytes - offset);
        if count == 0 {
            return &[];
        }
        assert!(offset.is_multiple_of(size_of::<T>()));
        #[cfg(test)]
        crate::hostile::accesses::note(self.address() + offset, bytes);
        let first = self.start.as_ptr().wrapping_add(offset).cast();
        // SAFETY: Aligned and within memory that lives as long as `self`; callers ask for atomics.
        unsafe { core::slice::from_raw_parts(first, count) }
    }

    /// Copies from `offset` on into `into`, reading each byte once.
    ///
    /// # Panics
    /// When the piece does not lie within the memory: callers have checked what came from outside.
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let (head, into) = into.split_at_mut(until_aligned(offset).min(into.len()));
        let (words, tail) = into.as_chunks_mut::<8>();
        let middle = offset + head.len();
        let end = middle + 8 * words.len();
        let bytes = |offset, into: &mut [u8]| {
            let from = self.all::<AtomicU8>(offset, into.len());
            for (byte, from) in into.iter_mut().zip(from) {
                *byte = from.load(Ordering::Relaxed);
            }
        };
        bytes(offset, head);
        bytes(end, tail);
        let from = self.all::<AtomicU64>(middle, words.len());
        // By way of aligned memory: `into` may have any alignment, and where the compiler must heed
        // it, it would store byte by byte what a copy of many bytes stores at once.
        let mut piece = Piece([[0; 8]; PIECE]);
        for (words, from) in words.chunks_mut(PIECE).zip(from.chunks(PIECE)) {
            for (word, from) in piece.0.iter_mut().zip(from) {
                *word = from.load(Ordering::Relaxed).to_ne_bytes();
            }
            words.copy_from_slice(&piece.0[..words.len()]);
        }
    }

    /// Copies `from` to `offset` on.
    ///
    /// # Panics
    /// When the piece does not lie within the memory.
    pub fn copy_in(&self, offset: usize, from: &[u8]) {
        let (head, from) = from.split_at(until_aligned(offset).min(from.len()));
        let (words, tail) = from.as_chunks::<8>();
        let middle = offset + head.len();
        let end = middle + 8 * words.len();
        let bytes = |offset, from: &[u8]| {
            let into = self.all::<AtomicU8>(offset, from.len());
            for (into, byte) in into.iter().zip(from) {
                into.store(*byte, Ordering::Relaxed);
            }
        };
        bytes(offset, head);
        bytes(end, tail);
        let into = self.all::<AtomicU64>(middle, words.len());
        for (into, word) in into.iter().zip(words) {
            into.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
    }

    /// Returns the bytes of memory that the other side can read but not write, for writing in
    /// place.
    ///
    /// # Safety
    /// 1. The memory is shared for reading only, or not at all.
    pub(crate) unsafe fn private_bytes(&mut self) -> &mut [u8] {
        // SAFETY: 1. Nobody else writes; `&mut self` keeps this domain from a second way to it. A
        // reader on the other side sees whichever bytes are there, which is its own affair.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

/// Words that [`SharedMemory::copy_out`] copies at once.
const PIECE: usize = 32;

#[repr(align(8))]
struct Piece([[u8; 8]; PIECE]);

/// How many bytes from `offset` on to the next multiple of eight.
fn until_aligned(offset: usize) -> usize {
    offset.wrapping_neg() % 8
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if self.owned
            && let Some(layout) = Self::layout(self.bytes)
        {
            // SAFETY: From `alloc_zeroed` with this layout.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn pieces_of_any_place_and_length_are_copied_whole() {
        let memory = SharedMemory::allocate(1).unwrap();
        let bytes: Vec<u8> = (0..100).map(|it| it as u8 + 1).collect();
        for offset in 0..17 {
            for length in 0..40 {
                memory.copy_in(offset, &[0xee; 64]);
                memory.copy_in(offset, &bytes[..length]);
                let mut out = [0; 64];
                memory.copy_out(offset, &mut out);
                assert_eq!(out[..length], bytes[..length]);
                assert!(out[length..].iter().all(|&it| it == 0xee));
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn nothing_is_copied_from_beyond_the_end() {
        let memory = SharedMemory::allocate(1).unwrap();
        memory.copy_out(4090, &mut [0; 7]);
    }

    #[test]
    fn pages_are_whole_and_zero() {
        let memory = SharedMemory::allocate(2).unwrap();
        assert_eq!((memory.len(), memory.pages()), (8192, 2));
        assert_eq!(memory.frame(1).0, memory.frame(0).0 + 1);
        let mut out = [1; 8192];
        memory.copy_out(0, &mut out);
        assert!(out.iter().all(|&it| it == 0));
        assert!(SharedMemory::allocate(0).is_none());
    }
}
