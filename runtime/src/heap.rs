//! The heap: `landfall-heap` over the memory that a bare-metal board hands over; the host's own allocator on a host.

use crate::info::Heap;

#[cfg(target_os = "none")]
mod bare {
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::RefCell;
    use core::mem::MaybeUninit;
    use core::ptr::{NonNull, null_mut};
    use critical_section::Mutex;

    #[global_allocator]
    static HEAP: Locked = Locked(Mutex::new(RefCell::new(landfall_heap::Heap::empty())));

    struct Locked(Mutex<RefCell<landfall_heap::Heap>>);

    impl Locked {
        fn with<R>(&self, f: impl FnOnce(&mut landfall_heap::Heap) -> R) -> R {
            critical_section::with(|cs| f(&mut self.0.borrow_ref_mut(cs)))
        }
    }

    // SAFETY: The heap lends memory of its own that nobody else has, with room and alignment for the layout.
    #[expect(unsafe_code)]
    unsafe impl GlobalAlloc for Locked {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let memory = self.with(|heap| heap.allocate(layout));
            memory.map_or(null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            if let Some(memory) = NonNull::new(memory) {
                // SAFETY: The caller's word is that it came from here, with this layout.
                self.with(|heap| unsafe { heap.deallocate(memory, layout) });
            }
        }
    }

    /// Makes `memory` the heap. Called once, before anything allocates.
    pub fn init(memory: &'static mut [MaybeUninit<u8>]) {
        HEAP.with(|heap| heap.init(memory));
    }

    pub(crate) fn usage() -> (usize, usize) {
        HEAP.with(|heap| (heap.used(), heap.free()))
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
