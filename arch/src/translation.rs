//! Builds page tables: 4 KiB granule, 64-bit descriptors, identity map (Arm ARM DDI 0487, D8.3
//! "VMSAv8-64 translation table format descriptors"; the long-descriptor format of ARMv7, DDI 0406
//! B3.6, has the same bits).
//!
//! Plain Rust without a register: `mmu.rs` of each CPU switches on what is built here, and the
//! tests walk it on the host. [`short`] has the older format, for ARMv7 CPUs without this one.

pub mod short;

use core::{fmt, ops::Range};

/// Bytes of a page, the smallest piece that can be mapped.
pub const PAGE: u64 = 4096;

const ENTRIES: usize = 512;

/// One translation table, as the hardware reads it.
#[repr(C, align(4096))]
#[derive(Clone)]
pub struct Table([u64; ENTRIES]);

impl Table {
    /// A table that maps nothing.
    pub const EMPTY: Self = Self([0; ENTRIES]);
}

/// What a piece of the address space is for; no kind is both writable and executable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Memory {
    /// Read and execute, normal memory.
    Code,
    /// Read only, normal memory.
    Constants,
    /// Read and write, normal memory.
    Data,
    /// Read and write, device memory (nGnRE).
    Device,
}

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MapError {
    /// The range does not start and end on a page, or ends before it starts.
    Misaligned {
        /// First address of the range.
        start: u64,
        /// First address after the range.
        end: u64,
    },
    /// The range goes past what the tables can translate.
    OutOfRange {
        /// First address after the range.
        end: u64,
    },
    /// Something is mapped there already.
    Overlap {
        /// The address that is taken.
        address: u64,
    },
    /// The pool of tables is used up.
    OutOfTables {
        /// How many tables the pool had.
        tables: usize,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misaligned { start, end } => {
                write!(f, "range {start:#x}..{end:#x} does not lie on 4 KiB pages")
            }
            Self::OutOfRange { end } => write!(f, "range ends at {end:#x}, past the tables' reach"),
            Self::Overlap { address } => write!(f, "address {address:#x} is mapped already"),
            Self::OutOfTables { tables } => write!(f, "all {tables} translation tables are used"),
        }
    }
}

impl core::error::Error for MapError {}

/// Tables under construction that map addresses onto themselves.
pub trait IdentityMap {
    /// Maps `range` onto itself as `memory`, with the largest blocks that fit.
    ///
    /// # Errors
    /// [`MapError`]; what was mapped before the error stays mapped.
    fn map(&mut self, range: Range<u64>, memory: Memory) -> Result<(), MapError>;

    /// Maps the pages that `range` touches, leaving alone those that are mapped already.
    ///
    /// For devices: several may share a page.
    ///
    /// # Errors
    /// As [`Self::map`], but never [`MapError::Overlap`].
    fn map_touched(&mut self, range: Range<u64>, memory: Memory) -> Result<(), MapError> {
        let last = range.end.max(range.start).next_multiple_of(PAGE);
        let mut page = range.start - range.start % PAGE;
        while page < last {
            match self.map(page..page + PAGE, memory) {
                Ok(()) | Err(MapError::Overlap { .. }) => {}
                Err(error) => return Err(error),
            }
            page += PAGE;
        }
        Ok(())
    }
}

/// Page tables under construction, taken from a pool of tables whose first is the root.
///
/// The tables must lie where the hardware will find them: their address is their physical address.
#[derive(Debug)]
pub struct PageTables<'pool> {
    pool: &'pool mut [Table],
    used: usize,
    root_shift: u32,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

mod bits {
    pub(super) const VALID: u64 = 1 << 0;
    /// A table at levels above the last, a page at the last; clear: a block.
    pub(super) const TABLE_OR_PAGE: u64 = 1 << 1;
    pub(super) const ATTRIBUTES_DEVICE: u64 = super::ATTRIBUTE_INDEX_DEVICE << 2;
    pub(super) const ATTRIBUTES_NORMAL: u64 = super::ATTRIBUTE_INDEX_NORMAL << 2;
    pub(super) const READ_ONLY: u64 = 1 << 7;
    pub(super) const INNER_SHAREABLE: u64 = 0b11 << 8;
    pub(super) const ACCESSED: u64 = 1 << 10;
    pub(super) const PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 53;
    pub(super) const EXECUTE_NEVER: u64 = 1 << 54;
    pub(super) const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
}

/// Index into MAIR of device memory.
pub const ATTRIBUTE_INDEX_DEVICE: u64 = 0;
/// Index into MAIR of normal, write-back memory.
pub const ATTRIBUTE_INDEX_NORMAL: u64 = 1;

impl Memory {
    fn attributes(self) -> u64 {
        use bits::*;
        let normal = ATTRIBUTES_NORMAL | INNER_SHAREABLE | ACCESSED | VALID;
        match self {
            // Not EXECUTE_NEVER: on ARMv7 that bit counts for all. There is no EL0 that it could keep out.
            Self::Code => normal | READ_ONLY,
            Self::Constants => normal | READ_ONLY | EXECUTE_NEVER | PRIVILEGED_EXECUTE_NEVER,
            Self::Data => normal | EXECUTE_NEVER | PRIVILEGED_EXECUTE_NEVER,
            Self::Device => {
                ATTRIBUTES_DEVICE
                    | INNER_SHAREABLE
                    | ACCESSED
                    | VALID
                    | EXECUTE_NEVER
                    | PRIVILEGED_EXECUTE_NEVER
            }
        }
    }
}

impl<'pool> PageTables<'pool> {
    /// Starts with nothing mapped, for addresses of up to `address_bits` (31 to 48) bits. All
    /// tables of the pool are [`Table::EMPTY`].
    ///
    /// # Panics
    /// When the pool is empty or the number of bits is outside its range: both are constants.
    pub fn new(pool: &'pool mut [Table], address_bits: u32) -> Self {
        assert!(!pool.is_empty() && (31..=48).contains(&address_bits));
        // Each level resolves nine bits above the twelve of a page; the root resolves what is left.
        let levels = (address_bits - 12).div_ceil(9);
        Self {
            pool,
            used: 1,
            root_shift: 12 + 9 * (levels - 1),
        }
    }

    /// Returns the address of the root table.
    pub fn root(&self) -> u64 {
        self.address_of(0)
    }

    /// Returns how many tables of the pool are in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Returns the size, as a shift, of the largest block that starts at `address` and ends by
    /// `end`: 1 GiB, 2 MiB or a page.
    fn largest_block(&self, address: u64, end: u64) -> u32 {
        [30, 21]
            .into_iter()
            .filter(|&shift| shift <= self.root_shift)
            .find(|shift| address.is_multiple_of(1 << shift) && end - address >= 1 << shift)
            .unwrap_or(12)
    }

    fn map_block(&mut self, address: u64, shift: u32, memory: Memory) -> Result<(), MapError> {
        let mut table = 0;
        let mut level_shift = self.root_shift;
        while level_shift > shift {
            table = self.descend(table, address, level_shift)?;
            level_shift -= 9;
        }
        let entry = &mut self.pool[table].0[index(address, shift)];
        if *entry & bits::VALID != 0 {
            return Err(MapError::Overlap { address });
        }
        let page = if shift == 12 { bits::TABLE_OR_PAGE } else { 0 };
        *entry = address | memory.attributes() | page;
        Ok(())
    }

    /// Returns the index of the table one level below, taking one from the pool where none is.
    fn descend(&mut self, table: usize, address: u64, shift: u32) -> Result<usize, MapError> {
        let entry = self.pool[table].0[index(address, shift)];
        if entry & bits::VALID == 0 {
            let next = self.used;
            if next == self.pool.len() {
                return Err(MapError::OutOfTables { tables: next });
            }
            self.used += 1;
            self.pool[table].0[index(address, shift)] =
                self.address_of(next) | bits::TABLE_OR_PAGE | bits::VALID;
            Ok(next)
        } else if entry & bits::TABLE_OR_PAGE == 0 {
            Err(MapError::Overlap { address })
        } else {
            Ok(((entry & bits::ADDRESS) - self.address_of(0)) as usize / size_of::<Table>())
        }
    }

    fn address_of(&self, table: usize) -> u64 {
        (&raw const self.pool[table]) as u64
    }
}

impl IdentityMap for PageTables<'_> {
    fn map(&mut self, range: Range<u64>, memory: Memory) -> Result<(), MapError> {
        check(&range, 1 << (self.root_shift + 9).min(48))?;
        let mut address = range.start;
        while address < range.end {
            let shift = self.largest_block(address, range.end);
            self.map_block(address, shift, memory)?;
            address += 1 << shift;
        }
        Ok(())
    }
}

/// Checks that a range lies on pages, and below `limit`.
fn check(range: &Range<u64>, limit: u64) -> Result<(), MapError> {
    if !range.start.is_multiple_of(PAGE)
        || !range.end.is_multiple_of(PAGE)
        || range.start > range.end
    {
        return Err(MapError::Misaligned {
            start: range.start,
            end: range.end,
        });
    }
    if range.end > limit {
        return Err(MapError::OutOfRange { end: range.end });
    }
    Ok(())
}

fn index(address: u64, shift: u32) -> usize {
    (address >> shift) as usize % ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{boxed::Box, vec};

    fn pool(tables: usize) -> &'static mut [Table] {
        Box::leak(vec![Table::EMPTY; tables].into_boxed_slice())
    }

    /// Walks the tables as the hardware would; returns the attributes without the address.
    fn translate(tables: &PageTables<'_>, address: u64) -> Option<(u64, u64)> {
        let (mut table, mut shift) = (0, tables.root_shift);
        loop {
            let entry = tables.pool[table].0[index(address, shift)];
            if entry & bits::VALID == 0 {
                return None;
            }
            if shift == 12 || entry & bits::TABLE_OR_PAGE == 0 {
                let offset = address % (1 << shift);
                let output = (entry & bits::ADDRESS) + offset;
                return Some((output, entry & !bits::ADDRESS & !bits::TABLE_OR_PAGE));
            }
            table = ((entry & bits::ADDRESS) - tables.address_of(0)) as usize / size_of::<Table>();
            shift -= 9;
        }
    }

    #[test]
    fn maps_onto_itself_with_the_asked_attributes() {
        let mut tables = PageTables::new(pool(16), 48);
        tables.map(0x4000_0000..0x4000_3000, Memory::Code).unwrap();
        tables.map(0x4000_3000..0x8000_0000, Memory::Data).unwrap();
        tables.map(0x900_0000..0x900_1000, Memory::Device).unwrap();
        for (address, memory) in [
            (0x4000_0000, Memory::Code),
            (0x4000_2fff, Memory::Code),
            (0x4000_3000, Memory::Data),
            (0x7fff_ffff, Memory::Data),
            (0x900_0018, Memory::Device),
        ] {
            assert_eq!(
                translate(&tables, address),
                Some((address, memory.attributes()))
            );
        }
        for hole in [0, 0xfff, 0x8ff_ffff, 0x900_1000, 0x3fff_ffff, 0x8000_0000] {
            assert_eq!(translate(&tables, hole), None, "{hole:#x}");
        }
    }

    #[test]
    fn large_ranges_take_large_blocks() {
        let mut tables = PageTables::new(pool(16), 48);
        tables
            .map(0x4000_0000..0x1_4000_0000, Memory::Data)
            .unwrap();
        assert_eq!(tables.used(), 2, "a root and one table of 1 GiB blocks");
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        for memory in [
            Memory::Code,
            Memory::Constants,
            Memory::Data,
            Memory::Device,
        ] {
            let attributes = memory.attributes();
            let writable = attributes & bits::READ_ONLY == 0;
            let executable = attributes & bits::PRIVILEGED_EXECUTE_NEVER == 0;
            assert!(!(writable && executable), "{memory:?}");
        }
    }

    #[test]
    fn errors_name_the_address() {
        let mut tables = PageTables::new(pool(4), 48);
        tables.map(0x1000..0x2000, Memory::Data).unwrap();
        assert_eq!(
            tables.map(0x1000..0x3000, Memory::Data),
            Err(MapError::Overlap { address: 0x1000 })
        );
        assert_eq!(tables.map_touched(0x1800..0x2800, Memory::Data), Ok(()));
        assert!(matches!(
            tables.map(0x10..0x1000, Memory::Data),
            Err(MapError::Misaligned { start: 0x10, .. })
        ));
        assert!(matches!(
            tables.map(0..1 << 50, Memory::Data),
            Err(MapError::OutOfRange { .. })
        ));
        assert_eq!(
            tables.map(0x4000_0000..0x4000_1000, Memory::Data),
            Err(MapError::OutOfTables { tables: 4 })
        );
    }

    #[test]
    fn three_levels_serve_narrow_addresses() {
        let mut tables = PageTables::new(pool(8), 39);
        tables.map(0x4000_0000..0x4020_1000, Memory::Data).unwrap();
        assert_eq!(translate(&tables, 0x4020_0fff).unwrap().0, 0x4020_0fff);
        assert_eq!(tables.used(), 3);
    }
}
