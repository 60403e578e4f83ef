//! The data cache, for devices that do not see it (Arm ARM DDI 0406C, B2.2.7 "About cache and branch predictor
//! maintenance operations"). By address, to the point of coherency.

use core::{arch::asm, ops::Range};

/// Writes the lines of `range` back to memory.
pub fn clean(range: Range<usize>) {
    for address in lines(range) {
        // SAFETY: DCCMVAC: memory stays as the CPU sees it.
        unsafe {
            asm!("mcr p15, 0, {}, c7, c10, 1", in(reg) address, options(nostack, preserves_flags))
        };
    }
    finish();
}

/// Writes the lines of `range` back to memory and drops them.
pub fn discard(range: Range<usize>) {
    for address in lines(range) {
        // SAFETY: DCCIMVAC: memory stays as the CPU sees it.
        unsafe {
            asm!("mcr p15, 0, {}, c7, c14, 1", in(reg) address, options(nostack, preserves_flags))
        };
    }
    finish();
}

/// An address in each line that `range` touches.
fn lines(range: Range<usize>) -> impl Iterator<Item = usize> {
    let cache_type: usize;
    // SAFETY: Reads CTR.
    unsafe {
        asm!("mrc p15, 0, {}, c0, c0, 1", out(reg) cache_type, options(nomem, nostack, preserves_flags));
    }
    let line = 4 << (cache_type >> 16 & 0b1111);
    (range.start & !(line - 1)..range.end).step_by(line)
}

/// Waits until that is done.
fn finish() {
    // SAFETY: A barrier.
    unsafe { asm!("dsb", options(nostack, preserves_flags)) };
}
