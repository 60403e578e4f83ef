//! Leaving a simulator with an exit code, and the console of last resort: Arm semihosting ("Semihosting for
//! AArch32 and AArch64", ABI 2025Q1).
//!
//! PSCI can turn a machine off but not say how it ended. QEMU started with `-semihosting` takes a
//! code. Nothing in the device tree tells whether such a host is there: without one the trap
//! instruction is a supervisor call like any other, and the exception handler steps over it.

use core::{arch::global_asm, ffi::c_void};

/// Writes the byte that the block is.
const SYS_WRITEC: u32 = 0x03;
/// "Application exit" with a code in the second word.
const SYS_EXIT_EXTENDED: u32 = 0x20;
const ADP_STOPPED_APPLICATION_EXIT: u32 = 0x20026;

global_asm!(
    ".pushsection .text.semihosting, \"ax\"",
    ".arm",
    ".global semihosting_call",
    ".type semihosting_call, %function",
    ".global semihosting_trap",
    "semihosting_call:",
    // The call is from SVC mode and overwrites its link register.
    "push {{r4, lr}}",
    "semihosting_trap: svc #0x123456",
    "pop {{r4, pc}}",
    ".popsection",
);

unsafe extern "C" {
    /// Calls the host; `u32::MAX` where there is none.
    fn semihosting_call(operation: u32, block: *const c_void) -> u32;
    safe static semihosting_trap: [u8; 4];
}

/// Writes to the host's console; nothing happens where there is no semihosting host.
pub fn write(text: &[u8]) {
    for byte in text {
        // SAFETY: The host reads `byte`, which outlives the call.
        unsafe { semihosting_call(SYS_WRITEC, core::ptr::from_ref(byte).cast()) };
    }
}

/// Ends the simulation with `code`; returns when there is no semihosting host.
pub fn exit(code: u8) {
    let block = [ADP_STOPPED_APPLICATION_EXIT, u32::from(code)];
    // SAFETY: The host reads `block`, which outlives the call, and does not return; without a host
    // `skip_missing_host` makes the call return.
    unsafe { semihosting_call(SYS_EXIT_EXTENDED, core::ptr::from_ref(&block).cast()) };
}

/// Steps over the trap when it raised the exception that is being handled, whose return address is
/// `next`: returns whether it did.
pub(super) fn skip_missing_host(next: u32, result: &mut u32) -> bool {
    let missing = next == semihosting_trap.as_ptr() as u32 + 4;
    if missing {
        *result = u32::MAX;
    }
    missing
}
