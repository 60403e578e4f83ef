//! Room for translations in QEMU's emulated CPUs.
//!
//! QEMU keeps what a CPU has translated in a table, of 256 pages at first, where each page has one place. It makes the
//! table larger only when the CPU discards its translations while most places are taken (`tlb_mmu_resize_locked` in
//! QEMU's accel/tcg/cputlb.c). A system that switches between address spaces discards them all the time; this board has
//! one map for good, and would have its tables walked for most pages that it touches, for ever. On a real CPU, whose
//! blocks of the map are large, this costs some tens of walks a second.

use core::cell::Cell;
use critical_section::Mutex;
use landfall_arch::{mmu, timer};

/// How often a second translations are discarded at most. QEMU makes the table smaller again after the largest use
/// that it saw in a tenth of a second.
const RATE_HZ: u64 = 10;

/// The timer's count from which they may be discarded again.
static NEXT: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Discards the translations, if that was long ago. A machine that rests does not wake for it.
pub(crate) fn discard_old() {
    let now = timer::count();
    critical_section::with(|cs| {
        let next = NEXT.borrow(cs);
        if now >= next.get() {
            next.set(now + timer::frequency_hz() / RATE_HZ);
            mmu::discard_translations();
        }
    });
}
