//! The generic timer's virtual counter and timer (Arm ARM DDI 0487, D12).

use aarch64_cpu::{
    asm::barrier,
    registers::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable, Writeable},
};

/// Returns the counter's frequency in Hz, as the firmware wrote it; 0 when it did not.
pub fn frequency_hz() -> u64 {
    CNTFRQ_EL0.get()
}

/// Returns the counter.
pub fn count() -> u64 {
    // Not earlier than what came before in program order.
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Raises the timer's interrupt, level-sensitive, from the moment the counter reaches `count`.
pub fn set_deadline(count: u64) {
    CNTV_CVAL_EL0.set(count);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::IMASK::CLEAR);
    barrier::isb(barrier::SY);
}

/// Takes the deadline back.
pub fn clear_deadline() {
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::CLEAR);
    barrier::isb(barrier::SY);
}
