//! Switching the MMU and the caches on.

use crate::{
    image,
    translation::{
        ATTRIBUTE_INDEX_DEVICE, ATTRIBUTE_INDEX_NORMAL, IdentityMap, MapError, Memory, PageTables,
        Table,
    },
};
use aarch64_cpu::{
    asm::barrier,
    registers::{
        ID_AA64MMFR0_EL1, MAIR_EL1, ReadWriteable, Readable, SCTLR_EL1, TCR_EL1, TTBR0_EL1,
        Writeable,
    },
};
use core::{arch::asm, ops::Range};

/// How many bits of address the tables for this CPU translate.
const ADDRESS_BITS: u32 = 48;

/// The tables for this CPU.
pub type Tables = PageTables<'static>;

/// Starts tables for this CPU with nothing mapped. All tables of the pool are [`Table::EMPTY`].
pub fn tables(pool: &'static mut [Table]) -> Tables {
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

    // MAIR: the two kinds of `translation::Memory`.
    const {
        assert!(ATTRIBUTE_INDEX_DEVICE == 0 && ATTRIBUTE_INDEX_NORMAL == 1);
    }
    MAIR_EL1.write(
        MAIR_EL1::Attr0_Device::nonGathering_nonReordering_EarlyWriteAck
            + MAIR_EL1::Attr1_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc
            + MAIR_EL1::Attr1_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc,
    );
    TCR_EL1.write(
        TCR_EL1::T0SZ.val(64 - u64::from(ADDRESS_BITS))
            + TCR_EL1::TG0::KiB_4
            + TCR_EL1::SH0::Inner
            + TCR_EL1::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
            + TCR_EL1::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
            + TCR_EL1::EPD1::DisableTTBR1Walks
            // At most 48 bits: more would need tables of another format.
            + TCR_EL1::IPS.val(ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange).min(0b101)),
    );
    TTBR0_EL1.set(tables.root());
    barrier::dsb(barrier::SY);
    barrier::isb(barrier::SY);
    // SAFETY: Discards cached translations and instructions; the barriers make that take effect
    // before the MMU is on.
    unsafe {
        asm!(
            "tlbi vmalle1",
            "ic iallu",
            "dsb sy",
            "isb",
            options(nostack, preserves_flags)
        );
    }
    SCTLR_EL1.modify(
        SCTLR_EL1::M::Enable
            + SCTLR_EL1::C::Cacheable
            + SCTLR_EL1::I::Cacheable
            + SCTLR_EL1::WXN::Enable
            + SCTLR_EL1::SA::Enable,
    );
    barrier::isb(barrier::SY);
    crate::copy::allow_wide_accesses();
    Map(tables)
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
        // The tables are written before they are walked. What was not mapped is in no TLB (Arm ARM
        // DDI 0487, D8.13), so there is nothing to invalidate.
        barrier::dsb(barrier::ISHST);
        barrier::isb(barrier::SY);
        Ok(())
    }
}

/// Discards all translations that the CPU has cached; it walks the tables for each again.
pub fn discard_translations() {
    // SAFETY: The tables still have every translation (nothing is ever taken out of the map), so that
    // no access changes its meaning (Arm ARM DDI 0487, D8.13 "TLB maintenance").
    unsafe {
        asm!(
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Invalidates the data cache over `range`, to the point of coherency.
///
/// Sound only while the cache is off and has no dirty line of the range, as the boot entry left it.
fn discard_cached(range: Range<u64>) {
    // SAFETY: CTR_EL0 is readable at EL1; the lines of the image are clean (the boot protocol asks
    // it of the loader, and `entry.rs` pushed them out where a cache was on), so that dropping
    // them loses nothing.
    unsafe {
        let ctr: u64;
        asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags));
        let line = 4 << ((ctr >> 16) & 0b1111);
        for address in (range.start..range.end).step_by(line) {
            asm!("dc ivac, {}", in(reg) address, options(nostack, preserves_flags));
        }
        asm!("dsb sy", options(nostack, preserves_flags));
    }
}
