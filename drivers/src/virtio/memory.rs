//! Memory that virtio devices reach: of the heap, on machines whose addresses are the devices' addresses and whose devices
//! are coherent with the caches, as those of a hypervisor are. It is never given back, but on hosts for the next script of a
//! fuzzer ([`give_back`]).

use alloc::alloc::alloc_zeroed;
use core::alloc::Layout;
use core::ptr::NonNull;
use virtio_drivers::Error;

/// What buffers are aligned to: a cache line.
const LINE: usize = 64;

/// Returns `bytes` zeroed bytes that begin so many bytes behind a cache line.
///
/// # Errors
/// [`Error::DmaError`] without memory.
pub(super) fn bytes(bytes: usize, behind: usize) -> Result<NonNull<[u8]>, Error> {
    let layout = Layout::from_size_align(bytes + behind, LINE).map_err(|_| Error::DmaError)?;
    let memory = zeroed(layout)?;
    // SAFETY: It is longer than that.
    let start = unsafe { memory.add(behind) };
    Ok(NonNull::slice_from_raw_parts(start, bytes))
}

/// Returns memory for a `T` that is all zeros.
///
/// # Errors
/// [`Error::DmaError`] without memory.
pub(super) fn value<T>() -> Result<NonNull<T>, Error> {
    Ok(zeroed(Layout::new::<T>())?.cast())
}

fn zeroed(layout: Layout) -> Result<NonNull<u8>, Error> {
    if layout.size() == 0 {
        return Err(Error::InvalidParam);
    }
    // SAFETY: The size is not zero.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Error::DmaError)?;
    #[cfg(not(target_os = "none"))]
    TAKEN.with_borrow_mut(|taken| taken.push((memory, layout)));
    Ok(memory)
}

#[cfg(not(target_os = "none"))]
std::thread_local! {
    /// What this thread was given.
    static TAKEN: core::cell::RefCell<alloc::vec::Vec<(NonNull<u8>, Layout)>> = const {
        core::cell::RefCell::new(alloc::vec::Vec::new())
    };
}

/// Gives everything back that this thread was given.
///
/// # Safety
/// 1. Neither a driver nor a device that was made on this thread is used any more.
#[cfg(not(target_os = "none"))]
pub(super) unsafe fn give_back() {
    for (memory, layout) in TAKEN.take() {
        // SAFETY: It was allocated with this layout, and 1.
        unsafe { alloc::alloc::dealloc(memory.as_ptr(), layout) };
    }
}
