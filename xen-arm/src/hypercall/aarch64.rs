//! The HVC instruction of AArch64 (`arch-arm.h`, "hypercall calling convention"): number in x16,
//! arguments and result in x0 to x4.

use core::arch::asm;

/// Calls Xen.
///
/// # Safety
/// 1. The arguments are what hypercall `number` asks for; memory that they point to stays valid
///    and unaliased for the call.
pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result;
    // SAFETY: 1. Xen changes the argument registers and x16 only, and memory that the arguments
    // point to; there are no flags and no stack in the convention.
    unsafe {
        asm!(
            "hvc #0xea1",
            inlateout("x0") arguments[0] as isize => result,
            inlateout("x1") arguments[1] => _,
            inlateout("x2") arguments[2] => _,
            lateout("x3") _,
            lateout("x4") _,
            inlateout("x16") number => _,
            options(nostack, preserves_flags)
        );
    }
    result
}
