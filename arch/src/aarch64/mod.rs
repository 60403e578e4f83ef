//! AArch64, ARMv8-A and later, at EL1.

pub mod cache;
mod copy;
mod entry;
mod exceptions;
pub mod mmu;
mod other_cpu;
mod random;
pub mod semihosting;
pub mod timer;

pub use random::random;

/// Calls to firmware and hypervisors.
pub(crate) use smccc as firmware;

use aarch64_cpu::{
    asm,
    registers::{MIDR_EL1, Readable},
};

/// Returns whether an interrupt is pending at this core, without a look at the interrupt controller
/// (ISR_EL1: Arm ARM DDI 0487, D24.2).
pub fn interrupt_pending() -> bool {
    /// ISR_EL1.I
    const IRQ: u64 = 1 << 7;
    let status: u64;
    // SAFETY: Reads a register; touches neither memory nor flags.
    unsafe {
        core::arch::asm!("mrs {}, isr_el1", out(reg) status, options(nomem, nostack, preserves_flags));
    }
    status & IRQ != 0
}

/// Sleeps until an interrupt is pending, even though interrupts are masked (Arm ARM DDI 0487,
/// D1.6 "Wait for Interrupt": a masked interrupt is a WFI wake-up event).
pub fn wait_for_interrupt() {
    asm::barrier::dsb(asm::barrier::SY);
    asm::wfi();
}

/// Returns the CPU's name after MIDR_EL1, or the architecture where the part is not known.
pub fn cpu_name() -> &'static str {
    const ARM: u64 = 0x41;
    let part = MIDR_EL1.read(MIDR_EL1::PartNum);
    if MIDR_EL1.read(MIDR_EL1::Implementer) != ARM {
        return "AArch64";
    }
    match part {
        0xd03 => "Cortex-A53",
        0xd04 => "Cortex-A35",
        0xd05 => "Cortex-A55",
        0xd07 => "Cortex-A57",
        0xd08 => "Cortex-A72",
        0xd09 => "Cortex-A73",
        0xd0a => "Cortex-A75",
        0xd0b => "Cortex-A76",
        0xd0c => "Neoverse-N1",
        0xd40 => "Neoverse-V1",
        0xd49 => "Neoverse-N2",
        0xd4f => "Neoverse-V2",
        _ => "AArch64",
    }
}

/// Returns the frame pointer of the caller, the start of a backtrace.
pub(crate) fn frame_pointer() -> u64 {
    let frame: u64;
    // SAFETY: Reads a register; touches neither memory nor flags.
    unsafe {
        core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    frame
}

/// Returns the call from which `return_address` is the way back.
pub(crate) fn call_before(return_address: u64) -> u64 {
    return_address.wrapping_sub(4)
}
