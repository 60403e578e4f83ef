//! The `critical-section` crate's implementation for one core whose interrupts are always masked.

use core::sync::atomic::{Ordering, compiler_fence};

struct AlwaysMasked;

critical_section::set_impl!(AlwaysMasked);

// SAFETY: One core runs, and interrupts are masked from the boot entry on (`entry.rs`) and never
// unmasked, so nothing can run between `acquire` and `release`; the fences keep the compiler from
// moving accesses out of the section.
unsafe impl critical_section::Impl for AlwaysMasked {
    unsafe fn acquire() -> critical_section::RawRestoreState {
        compiler_fence(Ordering::SeqCst);
    }

    unsafe fn release(_: critical_section::RawRestoreState) {
        compiler_fence(Ordering::SeqCst);
    }
}
