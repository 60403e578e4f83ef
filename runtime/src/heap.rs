//! The heap: `linked_list_allocator` over the memory that a bare-metal board hands over; the host's
//! own allocator on a host.

use crate::info::Heap;

#[cfg(target_os = "none")]
mod bare {
    use core::mem::MaybeUninit;
    use linked_list_allocator::LockedHeap;

    #[global_allocator]
    static HEAP: LockedHeap = LockedHeap::empty();

    /// Makes `memory` the heap. Called once, before anything allocates.
    pub fn init(memory: &'static mut [MaybeUninit<u8>]) {
        HEAP.lock().init_from_slice(memory);
    }

    pub(crate) fn usage() -> (usize, usize) {
        let heap = HEAP.lock();
        (heap.used(), heap.free())
    }
}

#[cfg(target_os = "none")]
pub use bare::init;

/// Returns how full the heap is; `None` where the host's allocator serves.
pub(crate) fn usage() -> Option<Heap> {
    #[cfg(target_os = "none")]
    {
        let (used, free) = bare::usage();
        Some(Heap { used, free })
    }
    #[cfg(not(target_os = "none"))]
    None
}

/// Returns how many bytes are free, all there are where nothing limits them.
#[cfg(target_os = "none")]
pub(crate) fn free_bytes() -> usize {
    bare::usage().1
}
