//! The MMU of CPUs without the large physical address extension, such as Cortex-A8.

use super::ADDRESS_BITS;
use crate::{
    armv7::cache,
    translation::{IdentityMap, MapError, Memory, PageTables, Table, short::ShortPageTables},
};
use core::{arch::asm, ops::Range};

/// Tables of the format that the CPU has.
pub enum Tables {
    /// Of long descriptors.
    Long(PageTables<'static>),
    /// Of short ones.
    Short(ShortPageTables<'static>),
}

impl Tables {
    pub(super) fn new(pool: &'static mut [Table]) -> Self {
        if has_long_descriptors() {
            Self::Long(PageTables::new(pool, ADDRESS_BITS))
        } else {
            Self::Short(ShortPageTables::new(pool))
        }
    }

    /// Writes the tables to where the MMU reads them: a Cortex-A8 does not look for them in the first cache (DDI 0406C,
    /// B4.1.92, ID_MMFR3 "Coherent walk").
    pub(super) fn push_out(&self) {
        if let Self::Short(tables) = self {
            cache::clean(tables.addresses());
        }
    }
}

impl IdentityMap for Tables {
    fn map(&mut self, range: Range<u64>, memory: Memory) -> Result<(), MapError> {
        match self {
            Self::Long(tables) => tables.map(range, memory),
            Self::Short(tables) => tables.map(range, memory),
        }
    }
}

/// Returns whether the CPU has the long-descriptor format (ID_MMFR0, "VMSA support": DDI 0406C, B4.1.89).
fn has_long_descriptors() -> bool {
    const LONG_DESCRIPTORS: u32 = 5;
    let features: u32;
    // SAFETY: Reads ID_MMFR0.
    unsafe {
        asm!("mrc p15, 0, {}, c0, c1, 4", out(reg) features, options(nomem, nostack, preserves_flags));
    }
    features & 0xf >= LONG_DESCRIPTORS
}

/// Switches to `tables`.
///
/// The auxiliary control stays as firmware has set it: on a Cortex-A8 its bits are others than on a Cortex-A7, and the
/// second cache is on unless somebody has switched it off (Cortex-A8 Technical Reference Manual, 3.2.26 "L2EN").
///
/// # Safety
/// As for [`super::enable`].
pub(super) unsafe fn enable(tables: &ShortPageTables<'static>) {
    // TTBR0 (DDI 0406C, B4.1.154): walked through the outer cache, write-back, and past the inner one.
    const OUTER_WRITE_BACK: u32 = 0b01 << 3;
    // DACR (B4.1.43): in domain 0, which everything is of, descriptors decide.
    const CLIENT: u32 = 0b01;
    // SCTLR (B4.1.130): M, C, Z (branch prediction), I. Set by nobody: TRE, AFE (B3.8.3, B3.7.2), which would give the
    // descriptors' bits other meanings.
    const SET: u32 = 1 | 1 << 2 | 1 << 11 | 1 << 12;
    const CLEAR: u32 = 1 << 28 | 1 << 29;
    // SAFETY: The caller's 1 and 2. What was cached of translations and instructions is discarded, and the barriers make
    // that take effect before the MMU is on. The tables were written past the cache, which has no line of theirs.
    unsafe {
        asm!(
            "mcr p15, 0, {zero}, c2, c0, 2", // TTBCR: TTBR0 for all addresses
            "mcr p15, 0, {root}, c2, c0, 0", // TTBR0
            "mcr p15, 0, {client}, c3, c0, 0", // DACR
            "dsb",
            "isb",
            "mcr p15, 0, {zero}, c8, c7, 0", // TLBIALL
            "mcr p15, 0, {zero}, c7, c5, 0", // ICIALLU
            "mcr p15, 0, {zero}, c7, c5, 6", // BPIALL
            "dsb",
            "isb",
            "mrc p15, 0, {control}, c1, c0, 0",
            "orr {control}, {control}, {set}",
            "bic {control}, {control}, {clear}",
            "mcr p15, 0, {control}, c1, c0, 0",
            "isb",
            root = in(reg) tables.root() | OUTER_WRITE_BACK,
            client = in(reg) CLIENT,
            zero = in(reg) 0,
            set = in(reg) SET,
            clear = in(reg) CLEAR,
            control = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}
