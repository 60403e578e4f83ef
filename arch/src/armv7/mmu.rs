//! Switching the MMU and the caches on.
//!
//! With the feature `short-descriptors`, CPUs without the large physical address extension get tables of the older
//! format: which it is, the CPU says at boot ([`tables`]).

#[cfg(feature = "short-descriptors")]
mod short;

use crate::{
    image,
    translation::{
        ATTRIBUTE_INDEX_DEVICE, ATTRIBUTE_INDEX_NORMAL, IdentityMap, MapError, Memory, PageTables,
        Table,
    },
};
use core::{arch::asm, ops::Range};

/// How many bits of address the tables for this CPU translate.
const ADDRESS_BITS: u32 = 32;

/// The tables for this CPU.
#[cfg(not(feature = "short-descriptors"))]
pub type Tables = PageTables<'static>;
#[cfg(feature = "short-descriptors")]
pub use short::Tables;

/// Starts tables for this CPU with nothing mapped. All tables of the pool are [`Table::EMPTY`].
pub fn tables(pool: &'static mut [Table]) -> Tables {
    #[cfg(feature = "short-descriptors")]
    return Tables::new(pool);
    #[cfg(not(feature = "short-descriptors"))]
    PageTables::new(pool, ADDRESS_BITS)
}

/// Switches to `tables`, which stay in use for good, and turns the caches on.
///
/// # Safety
/// 1. The tables map the image with the permissions its parts need, and all memory that Rust code
///    owns, onto itself.
/// 2. Nothing else is mapped as normal memory that a device or another CPU uses without coherency.
pub unsafe fn enable(tables: Tables) -> Map {
    // What ran so far wrote past the cache; lines that were fetched into it before are stale.
    discard_cached(image::layout().whole);
    // SAFETY: 1, 2: the caller's.
    unsafe {
        #[cfg(not(feature = "short-descriptors"))]
        enable_long(&tables);
        #[cfg(feature = "short-descriptors")]
        match &tables {
            Tables::Long(tables) => enable_long(tables),
            Tables::Short(tables) => short::enable(tables),
        }
    }
    crate::copy::allow_wide_accesses();
    Map(tables)
}

/// Discards all translations that the CPU has cached; it walks the tables for each again.
pub fn discard_translations() {
    // SAFETY: The tables still have every translation (nothing is ever taken out of the map), so that
    // no access changes its meaning (Arm ARM DDI 0406C, B3.10).
    unsafe {
        asm!(
            "mcr p15, 0, {zero}, c8, c7, 0", // TLBIALL
            "dsb",
            "isb",
            zero = in(reg) 0,
            options(nostack, preserves_flags)
        );
    }
}

/// Switches to tables of long descriptors.
///
/// # Safety
/// As for [`enable`].
unsafe fn enable_long(tables: &PageTables<'static>) {
    // MAIR0: the two kinds of `translation::Memory`: device, and normal write-back.
    const {
        assert!(ATTRIBUTE_INDEX_DEVICE == 0 && ATTRIBUTE_INDEX_NORMAL == 1);
    }
    const MAIR0: u32 = 0x04 | 0xff << 8;
    // TTBCR (long descriptors, DDI 0406C, B4.1.153): EAE, EPD1, SH0 inner, ORGN0 and IRGN0 write-back.
    const TTBCR: u32 = 1 << 31 | 1 << 23 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8;
    // SCTLR: M, C, Z (branch prediction), I, WXN.
    const SCTLR: u32 = 1 | 1 << 2 | 1 << 11 | 1 << 12 | 1 << 19;
    let root = tables.root();
    // SAFETY: 1, 2. What was cached of translations and instructions is discarded, and the barriers make
    // that take effect before the MMU is on.
    unsafe {
        join_coherency();
        asm!(
            "mcr p15, 0, {mair}, c10, c2, 0",
            "mcr p15, 0, {ttbcr}, c2, c0, 2",
            "mcrr p15, 0, {low}, {high}, c2",
            "dsb",
            "isb",
            "mcr p15, 0, {zero}, c8, c7, 0", // TLBIALL
            "mcr p15, 0, {zero}, c7, c5, 0", // ICIALLU
            "mcr p15, 0, {zero}, c7, c5, 6", // BPIALL
            "dsb",
            "isb",
            "mrc p15, 0, {control}, c1, c0, 0",
            "orr {control}, {control}, {set}",
            "mcr p15, 0, {control}, c1, c0, 0",
            "isb",
            mair = in(reg) MAIR0,
            ttbcr = in(reg) TTBCR,
            low = in(reg) root as u32,
            high = in(reg) (root >> 32) as u32,
            zero = in(reg) 0,
            set = in(reg) SCTLR,
            control = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Sets ACTLR.SMP where it is not: without it Cortex-A7 and A15 do not cache (their Technical Reference
/// Manuals, "Auxiliary Control Register").
///
/// # Safety
/// 1. The caches are off.
unsafe fn join_coherency() {
    const SMP: u32 = 1 << 6;
    // SAFETY: 1. A hypervisor or firmware that does not let the bit be changed has set it.
    unsafe {
        let control: u32;
        asm!("mrc p15, 0, {}, c1, c0, 1", out(reg) control, options(nomem, nostack, preserves_flags));
        if control & SMP == 0 {
            asm!("mcr p15, 0, {}, c1, c0, 1", "isb", in(reg) control | SMP, options(nostack, preserves_flags));
        }
    }
}

/// The map that the MMU uses. More can be added to it, and nothing is ever taken away.
pub struct Map(Tables);

impl Map {
    /// Maps `range` onto itself as `memory`, from now on.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn add(&mut self, range: Range<u64>, memory: Memory) -> Result<(), MapError> {
        self.0.map(range, memory)?;
        #[cfg(feature = "short-descriptors")]
        self.0.push_out();
        // The tables are written before they are walked. What was not mapped is in no TLB (Arm ARM
        // DDI 0406C, B3.9.1), so there is nothing to invalidate.
        // SAFETY: Barriers.
        unsafe { asm!("dsb", "isb", options(nostack, preserves_flags)) };
        Ok(())
    }
}

/// Invalidates the data cache over `range`, to the point of coherency.
///
/// Sound only while the cache is off and has no dirty line of the range, as the boot protocol has it.
fn discard_cached(range: Range<u64>) {
    // SAFETY: The lines of the image are clean (the boot protocol asks it of the loader), so that dropping
    // them loses nothing.
    unsafe {
        let cache_type: u32;
        asm!("mrc p15, 0, {}, c0, c0, 1", out(reg) cache_type, options(nomem, nostack, preserves_flags));
        let line = 4 << (cache_type >> 16 & 0b1111);
        for address in (range.start as u32..range.end as u32).step_by(line) {
            // DCIMVAC
            asm!("mcr p15, 0, {}, c7, c6, 1", in(reg) address, options(nostack, preserves_flags));
        }
        asm!("dsb", options(nostack, preserves_flags));
    }
}
