//! The HVC instruction of ARMv7 (`arch-arm.h`, "hypercall calling convention"): number in r12,
//! arguments and result in r0 to r4.

use core::arch::asm;

/// Calls Xen.
///
/// # Safety
/// 1. The arguments are what hypercall `number` asks for; memory that they point to stays valid
///    and unaliased for the call.
pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result;
    // SAFETY: 1. Xen changes the argument registers and r12 only, and memory that the arguments
    // point to; there are no flags and no stack in the convention.
    unsafe {
        asm!(
            ".arch_extension virt",
            "hvc #0xea1",
            inlateout("r0") arguments[0] as isize => result,
            inlateout("r1") arguments[1] => _,
            inlateout("r2") arguments[2] => _,
            lateout("r3") _,
            lateout("r4") _,
            inlateout("r12") number => _,
            options(nostack, preserves_flags)
        );
    }
    result
}
