//! The generic timer's virtual counter and timer (Arm ARM DDI 0406C, B8).

use core::arch::asm;

/// Returns the counter's frequency in Hz, as the firmware wrote it; 0 when it did not.
pub fn frequency_hz() -> u64 {
    let hertz: u32;
    // SAFETY: Reads CNTFRQ.
    unsafe {
        asm!("mrc p15, 0, {}, c14, c0, 0", out(reg) hertz, options(nomem, nostack, preserves_flags));
    }
    hertz.into()
}

/// Returns the counter.
pub fn count() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: Reads CNTVCT, not earlier than what came before in program order.
    unsafe {
        asm!(
            "isb",
            "mrrc p15, 1, {}, {}, c14",
            out(reg) low, out(reg) high,
            options(nostack, preserves_flags)
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Raises the timer's interrupt, level-sensitive, from the moment the counter reaches `count`.
pub fn set_deadline(count: u64) {
    const ENABLE: u32 = 1;
    // SAFETY: Writes CNTV_CVAL and CNTV_CTL; interrupts are masked.
    unsafe {
        asm!(
            "mcrr p15, 3, {}, {}, c14",
            "mcr p15, 0, {}, c14, c3, 1",
            "isb",
            in(reg) count as u32, in(reg) (count >> 32) as u32, in(reg) ENABLE,
            options(nostack, preserves_flags)
        );
    }
}

/// Takes the deadline back.
pub fn clear_deadline() {
    // SAFETY: Writes CNTV_CTL; interrupts are masked.
    unsafe {
        asm!(
            "mcr p15, 0, {}, c14, c3, 1",
            "isb",
            in(reg) 0,
            options(nostack, preserves_flags)
        );
    }
}
