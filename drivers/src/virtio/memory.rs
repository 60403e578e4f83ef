//! Memory that virtio devices reach: of the heap, on machines whose addresses are the devices' addresses and whose devices
//! are coherent with the caches, as those of a hypervisor are. It is never given back.

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
    NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Error::DmaError)
}
