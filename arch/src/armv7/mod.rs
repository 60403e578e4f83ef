//! ARMv7-A with the virtualization and large physical address extensions, such as Cortex-A7 and A15, in
//! SVC mode. With the feature `short-descriptors` also without them, such as Cortex-A8: then it is the board's to use
//! [`timer`] only where the device tree has the generic timer, and `hvc` only where it asks for it.

pub mod cache;
mod copy;
mod entry;
mod exceptions;
pub(crate) mod firmware;
mod mmio;
pub mod mmu;
mod other_cpu;
mod random;
pub mod semihosting;
pub mod timer;

pub use random::random;

use core::arch::asm;

/// Returns whether an interrupt is pending at this core, without a look at the interrupt controller
/// (ISR: Arm ARM DDI 0406C, B4.1.103).
pub fn interrupt_pending() -> bool {
    /// ISR.I
    const IRQ: u32 = 1 << 7;
    let status: u32;
    // SAFETY: Reads a register; touches neither memory nor flags.
    unsafe {
        asm!("mrc p15, 0, {}, c12, c1, 0", out(reg) status, options(nomem, nostack, preserves_flags));
    }
    status & IRQ != 0
}

/// Sleeps until an interrupt is pending, even though interrupts are masked (Arm ARM DDI 0406C, B1.8.14
/// "Wait For Interrupt": a masked interrupt is a WFI wake-up event).
pub fn wait_for_interrupt() {
    // SAFETY: Waits; touches neither memory nor flags.
    unsafe { asm!("dsb", "wfi", options(nostack, preserves_flags)) };
}

/// Returns the CPU's name after MIDR, or the architecture where the part is not known.
pub fn cpu_name() -> &'static str {
    const ARM: u32 = 0x41;
    let main_id: u32;
    // SAFETY: Reads MIDR.
    unsafe {
        asm!("mrc p15, 0, {}, c0, c0, 0", out(reg) main_id, options(nomem, nostack, preserves_flags));
    }
    match (main_id >> 24, main_id >> 4 & 0xfff) {
        #[cfg(feature = "short-descriptors")]
        (ARM, 0xc08) => "Cortex-A8",
        (ARM, 0xc07) => "Cortex-A7",
        (ARM, 0xc0d) => "Cortex-A12",
        (ARM, 0xc0e) => "Cortex-A17",
        (ARM, 0xc0f) => "Cortex-A15",
        (ARM, 0xd01) => "Cortex-A32",
        (ARM, 0xd03) => "Cortex-A53",
        (ARM, 0xd07) => "Cortex-A57",
        (ARM, 0xd08) => "Cortex-A72",
        _ => "ARMv7",
    }
}

/// Returns the frame pointer of the caller, the start of a backtrace.
pub(crate) fn frame_pointer() -> u64 {
    let frame: u32;
    // SAFETY: Reads a register; touches neither memory nor flags.
    unsafe {
        asm!("mov {}, r11", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    frame.into()
}

/// Returns the call from which `return_address` is the way back: its last two bytes, for a T32 call has two or
/// four. A return address says in its lowest bit that the caller is T32.
pub(crate) fn call_before(return_address: u64) -> u64 {
    (return_address & !1).wrapping_sub(2)
}
