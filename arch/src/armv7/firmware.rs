//! Calls to firmware and hypervisors (SMC Calling Convention, Arm DEN 0028, "SMC32/HVC32").
//!
//! smccc's own calls assemble only in A32, and this image is T32.

use core::arch::global_asm;
use smccc::Call;

global_asm!(
    ".pushsection .text.firmware, \"ax\"",
    ".arm",
    ".arch_extension virt",
    ".arch_extension sec",
    // With the address of r0 to r7, which the call takes and overwrites.
    ".macro firmware_call name, instruction",
    ".global \\name",
    ".type \\name, %function",
    "\\name:",
    "push {{r4 - r8, lr}}",
    "mov r8, r0",
    "ldm r8, {{r0 - r7}}",
    "\\instruction #0",
    "stm r8, {{r0 - r7}}",
    "pop {{r4 - r8, pc}}",
    ".endm",
    "firmware_call firmware_hvc, hvc",
    "firmware_call firmware_smc, smc",
    ".popsection",
);

unsafe extern "C" {
    fn firmware_hvc(registers: &mut [u32; 8]);
    fn firmware_smc(registers: &mut [u32; 8]);
}

/// Calls by `hvc`.
pub(crate) struct Hvc;
/// Calls by `smc`.
pub(crate) struct Smc;

impl Call for Hvc {
    fn call32(function: u32, arguments: [u32; 7]) -> [u32; 8] {
        call(firmware_hvc, function, arguments)
    }

    /// There is none on a 32-bit CPU (Arm DEN 0028, 2.6: such a call is not known).
    fn call64(_function: u32, _arguments: [u64; 17]) -> [u64; 18] {
        [u64::MAX; 18]
    }
}

impl Call for Smc {
    fn call32(function: u32, arguments: [u32; 7]) -> [u32; 8] {
        call(firmware_smc, function, arguments)
    }

    /// There is none on a 32-bit CPU.
    fn call64(_function: u32, _arguments: [u64; 17]) -> [u64; 18] {
        [u64::MAX; 18]
    }
}

fn call(
    instruction: unsafe extern "C" fn(&mut [u32; 8]),
    function: u32,
    arguments: [u32; 7],
) -> [u32; 8] {
    let mut registers = [0; 8];
    registers[0] = function;
    registers[1..].copy_from_slice(&arguments);
    // SAFETY: The convention keeps all other registers and this program's memory.
    unsafe { instruction(&mut registers) };
    registers
}
