//! Leaving a simulator with an exit code, and the console of last resort: Arm semihosting ("Semihosting for
//! AArch32 and AArch64", ABI 2025Q1).
//!
//! PSCI can turn a machine off but not say how it ended. QEMU started with `-semihosting` takes a
//! code. Nothing in the device tree tells whether such a host is there: without one the trap
//! instruction is undefined, and the exception handler steps over it.

use core::{arch::global_asm, ffi::c_void};

/// Writes the byte that the block is.
const SYS_WRITEC: u64 = 0x03;
/// "Application exit" with a code in the second word.
const SYS_EXIT_EXTENDED: u64 = 0x20;
const ADP_STOPPED_APPLICATION_EXIT: u64 = 0x20026;

global_asm!(
    ".pushsection .text.semihosting, \"ax\"",
    ".global semihosting_call",
    ".global semihosting_trap",
    "semihosting_call:",
    "semihosting_trap: hlt #0xf000",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    /// Calls the host; u64::MAX where there is none.
    fn semihosting_call(operation: u64, block: *const c_void) -> u64;
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
    let block = [ADP_STOPPED_APPLICATION_EXIT, u64::from(code)];
    // SAFETY: The host reads `block`, which outlives the call, and does not return; without a host
    // `skip_missing_host` makes the call return.
    unsafe { semihosting_call(SYS_EXIT_EXTENDED, core::ptr::from_ref(&block).cast()) };
}

/// Steps over the trap when it raised the exception that is being handled: returns whether it did.
pub(super) fn skip_missing_host(elr: &mut u64, result: &mut u64) -> bool {
    let missing = *elr == semihosting_trap.as_ptr() as u64;
    if missing {
        *elr += 4;
        *result = u64::MAX;
    }
    missing
}
