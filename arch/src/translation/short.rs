//! Page tables of 32-bit descriptors, as ARMv7 has them without the large physical address extension (Arm ARM DDI
//! 0406C, B3.5 "Short-descriptor translation table format"): Cortex-A8, A5, A9.
//!
//! A root of 4096 entries, each for a MiB: a section, or a table of 256 pages. One core alone uses the memory, so nothing
//! of it is shareable: a CPU without the multiprocessing extensions may leave what is out of its caches.

use super::{IdentityMap, MapError, Memory, PAGE, Table, check};
use core::ops::Range;

/// Bytes of the root, to which it is aligned (B3.5.1).
const ROOT: u64 = 16 << 10;
/// Tables of the pool that it takes.
const ROOT_TABLES: usize = ROOT as usize / size_of::<Table>();
/// Entries of one of the pool's tables.
const WORDS: usize = size_of::<Table>() / 4;
/// Bytes that an entry of the root maps.
const SECTION: u64 = 1 << 20;
/// Entries of a table of pages: those of a section.
const PAGES: usize = (SECTION / PAGE) as usize;

/// First-level descriptors (B3.5.1, figure B3-4).
mod section {
    pub(super) const TABLE: u32 = 0b01;
    pub(super) const SECTION: u32 = 0b10;
    pub(super) const EXECUTE_NEVER: u32 = 1 << 4;
    pub(super) const TABLE_ADDRESS: u32 = !0x3ff;
}

/// Second-level descriptors (B3.5.1, figure B3-5).
mod page {
    pub(super) const EXECUTE_NEVER: u32 = 1 << 0;
    pub(super) const PAGE: u32 = 0b10;
}

/// What a piece of memory is, for both levels: where TEX, AP\[1:0\] and AP\[2\] are differs.
struct Attributes {
    /// C and B, in both at the same place (B3.8.2, "TEX\[2:0\], C, B", without TEX remap).
    cacheable: u32,
    type_extension: u32,
    is_read_only: bool,
    is_executable: bool,
}

impl Attributes {
    fn of(memory: Memory) -> Self {
        let normal = Self {
            // Write-back, with allocation at reads and writes.
            cacheable: 0b11 << 2,
            type_extension: 0b001,
            is_read_only: false,
            is_executable: false,
        };
        match memory {
            Memory::Code => Self {
                is_read_only: true,
                is_executable: true,
                ..normal
            },
            Memory::Constants => Self {
                is_read_only: true,
                ..normal
            },
            Memory::Data => normal,
            // Device, shareable.
            Memory::Device => Self {
                cacheable: 0b01 << 2,
                type_extension: 0,
                ..normal
            },
        }
    }

    /// AP\[2\] and AP\[1:0\] (B3.7.1): for privileged code alone. With the access flag in AP\[0\], which is then set,
    /// they say the same.
    fn access(&self) -> (u32, u32) {
        (self.is_read_only.into(), 0b01)
    }

    fn section(&self) -> u32 {
        let (ap2, ap10) = self.access();
        let never = if self.is_executable {
            0
        } else {
            section::EXECUTE_NEVER
        };
        self.cacheable
            | self.type_extension << 12
            | ap2 << 15
            | ap10 << 10
            | never
            | section::SECTION
    }

    fn page(&self) -> u32 {
        let (ap2, ap10) = self.access();
        let never = if self.is_executable {
            0
        } else {
            page::EXECUTE_NEVER
        };
        self.cacheable | self.type_extension << 6 | ap2 << 9 | ap10 << 4 | never | page::PAGE
    }
}

/// Page tables under construction, taken from a pool of tables, in which they lie where the hardware will find them:
/// their address is their physical address.
#[derive(Debug)]
pub struct ShortPageTables<'pool> {
    pool: &'pool mut [Table],
    /// The pool's table with which the root begins.
    root: usize,
    /// How many tables of pages are in use, of those that lie behind the root.
    used: usize,
}

impl<'pool> ShortPageTables<'pool> {
    /// Starts with nothing mapped. All tables of the pool are [`Table::EMPTY`].
    ///
    /// # Panics
    /// When the pool has no room for a root, which its size, a constant, decides: seven tables do.
    pub fn new(pool: &'pool mut [Table]) -> Self {
        let start = pool.as_ptr() as u64;
        let root = (start.next_multiple_of(ROOT) - start) as usize / size_of::<Table>();
        assert!(pool.len() >= root + ROOT_TABLES);
        Self {
            pool,
            root,
            used: 0,
        }
    }

    /// Returns the address of the root table.
    pub fn root(&self) -> u32 {
        self.address_of(self.root * WORDS)
    }

    /// Returns the addresses of all tables.
    pub fn addresses(&self) -> Range<usize> {
        let pool = self.pool.as_ptr_range();
        pool.start as usize..pool.end as usize
    }

    /// Maps the section or the page that begins at `address`.
    fn map_block(&mut self, address: u64, bytes: u64, memory: Memory) -> Result<(), MapError> {
        let attributes = Attributes::of(memory);
        let entry = self.root * WORDS + (address / SECTION) as usize;
        let (place, descriptor) = match bytes {
            SECTION => (entry, attributes.section()),
            _ => {
                let table = self.descend(entry, address)?;
                let index = (address / PAGE) as usize % PAGES;
                (table + index, attributes.page())
            }
        };
        if self.word(place) != 0 {
            return Err(MapError::Overlap { address });
        }
        self.set_word(place, address as u32 | descriptor);
        Ok(())
    }

    /// Returns where in the pool the table of an entry of the root begins, taking one where there is none.
    fn descend(&mut self, entry: usize, address: u64) -> Result<usize, MapError> {
        let descriptor = self.word(entry);
        if descriptor == 0 {
            let table = (self.root + ROOT_TABLES) * WORDS + self.used * PAGES;
            if table + PAGES > self.pool.len() * WORDS {
                return Err(MapError::OutOfTables { tables: self.used });
            }
            self.used += 1;
            self.set_word(entry, self.address_of(table) | section::TABLE);
            Ok(table)
        } else if descriptor & 0b11 == section::TABLE {
            let start = self.address_of(0);
            Ok((descriptor & section::TABLE_ADDRESS).wrapping_sub(start) as usize / 4)
        } else {
            Err(MapError::Overlap { address })
        }
    }

    /// Where a word of the pool is. Pointers are of 32 bits where this is switched on.
    fn address_of(&self, word: usize) -> u32 {
        (self.pool.as_ptr() as usize + 4 * word) as u32
    }

    /// A word of the pool: the pool's own are of 64 bits, and the first is the lower half.
    fn word(&self, index: usize) -> u32 {
        let pair = self.pool[index / WORDS].0[index % WORDS / 2];
        (pair >> (32 * (index % 2))) as u32
    }

    fn set_word(&mut self, index: usize, value: u32) {
        let pair = &mut self.pool[index / WORDS].0[index % WORDS / 2];
        let shift = 32 * (index % 2);
        *pair = *pair & !(0xffff_ffff << shift) | u64::from(value) << shift;
    }
}

impl IdentityMap for ShortPageTables<'_> {
    fn map(&mut self, range: Range<u64>, memory: Memory) -> Result<(), MapError> {
        check(&range, 1 << 32)?;
        let mut address = range.start;
        while address < range.end {
            let whole = address.is_multiple_of(SECTION) && range.end - address >= SECTION;
            let bytes = if whole { SECTION } else { PAGE };
            self.map_block(address, bytes, memory)?;
            address += bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{boxed::Box, vec};

    fn tables(count: usize) -> ShortPageTables<'static> {
        ShortPageTables::new(Box::leak(vec![Table::EMPTY; count].into_boxed_slice()))
    }

    /// Walks the tables as the hardware would (B3.5.2); returns the address, and the descriptor without it.
    fn translate(tables: &ShortPageTables<'_>, address: u64) -> Option<(u64, u32)> {
        let entry = tables.word(tables.root * WORDS + (address >> 20) as usize);
        match entry & 0b11 {
            0b00 => None,
            0b01 => {
                let table = (entry & !0x3ff).wrapping_sub(tables.address_of(0)) as usize / 4;
                let entry = tables.word(table + (address >> 12) as usize % 256);
                let output = entry & 0xffff_f000 | address as u32 & 0xfff;
                (entry & 0b10 != 0).then_some((output.into(), entry & 0xfff))
            }
            _ => {
                let output = entry & 0xfff0_0000 | address as u32 & 0xf_ffff;
                Some((output.into(), entry & 0xf_ffff))
            }
        }
    }

    #[test]
    fn maps_onto_itself_in_sections_and_pages() {
        let mut tables = tables(12);
        tables.map(0x4010_0000..0x4010_3000, Memory::Code).unwrap();
        tables.map(0x4010_3000..0x6000_0000, Memory::Data).unwrap();
        tables
            .map_touched(0x01c0_b080..0x01c0_c001, Memory::Device)
            .unwrap();
        for address in [
            0x4010_0000,
            0x4010_2fff,
            0x4010_3000,
            0x401f_ffff,
            0x4020_0000,
            0x5fff_ffff,
            0x01c0_b000,
            0x01c0_c000,
        ] {
            let (output, _) = translate(&tables, address).unwrap();
            assert_eq!(output, address, "{address:#x}");
        }
        for hole in [
            0,
            0xfff,
            0x400f_ffff,
            0x6000_0000,
            0x01c0_d000,
            0x01c0_afff,
            0xffff_f000,
        ] {
            assert_eq!(translate(&tables, hole), None, "{hole:#x}");
        }
        assert_eq!(tables.used, 2, "one for the image's end, one for devices");
    }

    #[test]
    fn the_bits_are_those_of_the_manual() {
        let bits = |memory| {
            (
                Attributes::of(memory).section(),
                Attributes::of(memory).page(),
            )
        };
        // TEX 001, C, B; AP 101; XN clear.
        assert_eq!(bits(Memory::Code), (0x940e, 0x25e));
        assert_eq!(bits(Memory::Constants), (0x941e, 0x25f));
        // AP 001.
        assert_eq!(bits(Memory::Data), (0x141e, 0x5f));
        // TEX 000, B.
        assert_eq!(bits(Memory::Device), (0x0416, 0x17));
    }

    #[test]
    fn the_root_lies_on_its_boundary_wherever_the_pool_does() {
        let pool: &'static mut [Table] = Box::leak(vec![Table::EMPTY; 16].into_boxed_slice());
        for start in 0..4 {
            let mut tables = ShortPageTables::new(&mut pool[start..]);
            assert!(tables.root().is_multiple_of(16 << 10));
            tables.map(0x1000..0x2000, Memory::Data).unwrap();
            assert_eq!(translate(&tables, 0x1004).unwrap().0, 0x1004);
            pool.fill(Table::EMPTY);
        }
    }

    #[test]
    fn errors_name_the_address() {
        let mut tables = tables(8);
        tables.map(0x1000..0x2000, Memory::Data).unwrap();
        let overlap = |address| Err(MapError::Overlap { address });
        assert_eq!(tables.map(0x1000..0x3000, Memory::Data), overlap(0x1000));
        assert_eq!(tables.map(0..0x10_0000, Memory::Data), overlap(0));
        tables.map(0x10_0000..0x20_0000, Memory::Data).unwrap();
        assert_eq!(
            tables.map(0x10_1000..0x10_2000, Memory::Code),
            overlap(0x10_1000)
        );
        assert!(matches!(
            tables.map(0x10..0x1000, Memory::Data),
            Err(MapError::Misaligned { .. })
        ));
        assert!(matches!(
            tables.map(0..(1 << 32) + PAGE, Memory::Data),
            Err(MapError::OutOfRange { .. })
        ));
        tables.map(0xffff_f000..1 << 32, Memory::Data).unwrap();
        let full = (0x20_0000..0x4000_0000)
            .step_by(SECTION as usize)
            .find_map(|start| tables.map(start..start + PAGE, Memory::Data).err());
        assert_eq!(
            full,
            Some(MapError::OutOfTables {
                tables: tables.used
            })
        );
    }
}
