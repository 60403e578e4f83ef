//! When the memory functions of both CPUs may use accesses that need no alignment.

use core::sync::atomic::{AtomicU8, Ordering};

/// Read by the assembly of `memcpy`, `memmove` and `memset`.
#[unsafe(no_mangle)]
static wide_accesses: AtomicU8 = AtomicU8::new(0);

/// Normal memory is mapped as such from now on.
pub(crate) fn allow_wide_accesses() {
    wide_accesses.store(1, Ordering::Relaxed);
}
