//! The tree as a whole.

use crate::{
    DeviceTreeError, MemoryMap,
    device::{self, Device},
    structure,
};
use core::ops::Range;
use fdt::{
    Fdt,
    nodes::Node,
    parsing::{NoPanic, aligned::AlignedParser},
    properties::cells::CellSizes,
};

pub(crate) type Parser<'tree> = (AlignedParser<'tree>, NoPanic);

/// Words of the header (Devicetree Specification 0.4, 5.2).
const HEADER_WORDS: usize = 10;
const MAGIC: u32 = 0xd00d_feed;

/// A flattened device tree whose header was checked.
pub struct DeviceTree<'tree> {
    fdt: Fdt<'tree, Parser<'tree>>,
    words: &'tree [u32],
    used: usize,
}

impl<'tree> DeviceTree<'tree> {
    /// Returns how many words the tree at `address` takes by its header.
    ///
    /// # Errors
    /// [`DeviceTreeError::Address`], [`DeviceTreeError::Magic`], [`DeviceTreeError::Header`].
    ///
    /// # Safety
    /// 1. The 40 bytes at `address`, where it is not 0, can be read.
    pub unsafe fn length_at(address: usize) -> Result<usize, DeviceTreeError> {
        // The boot protocol aligns the tree to 8 bytes (Linux Documentation/arch/arm64/booting.rst).
        if address == 0 || !address.is_multiple_of(8) {
            return Err(DeviceTreeError::Address(address));
        }
        // SAFETY: 1. and the check of the alignment.
        let header = unsafe { core::slice::from_raw_parts(address as *const u32, HEADER_WORDS) };
        Ok(Extent::read(header)?.total)
    }

    /// Reads a tree.
    ///
    /// # Errors
    /// [`DeviceTreeError::Magic`], [`DeviceTreeError::Header`], [`DeviceTreeError::Malformed`].
    pub fn new(words: &'tree [u32]) -> Result<Self, DeviceTreeError> {
        let extent = Extent::read(words)?;
        let words = words.get(..extent.total).ok_or(DeviceTreeError::Header)?;
        let fdt = Fdt::new_fallible(words)?;
        structure::check(fdt.structs_block(), fdt.strings_block())?;
        Ok(Self {
            fdt,
            words,
            used: extent.used,
        })
    }

    /// Returns how many words the tree takes without the room for changes at its end (QEMU leaves
    /// a mebibyte).
    pub fn used_words(&self) -> usize {
        self.used
    }

    /// Shrinks the header's size of a tree that was cut off after its [`Self::used_words`].
    pub fn shrink(words: &mut [u32]) {
        let bytes = 4 * words.len() as u32;
        if let Some(total) = words.get_mut(1) {
            *total = bytes.to_be();
        }
    }

    /// Calls `visit` for each device that is not disabled, in the tree's order.
    ///
    /// # Errors
    /// [`DeviceTreeError::Malformed`]; devices before the malformed one were visited.
    pub fn for_each_device(
        &self,
        mut visit: impl FnMut(Device<'tree>),
    ) -> Result<(), DeviceTreeError> {
        for node in self.fdt.all_nodes()? {
            let (_, node) = node?;
            if let Some(device) = read_device(node)? {
                visit(device);
            }
        }
        Ok(())
    }

    /// Calls `visit` for each device that is disabled: it is on the chip, and this machine's maker did not connect it.
    ///
    /// # Errors
    /// [`DeviceTreeError::Malformed`]; devices before the malformed one were visited.
    pub fn for_each_disabled_device(
        &self,
        mut visit: impl FnMut(Device<'tree>),
    ) -> Result<(), DeviceTreeError> {
        for node in self.fdt.all_nodes()? {
            let (_, node) = node?;
            if is_disabled(&node)?
                && let Some(compatible) = property(&node, "compatible")?
            {
                visit(describe(node, compatible)?);
            }
        }
        Ok(())
    }

    /// Returns the device that `/chosen/stdout-path` names.
    ///
    /// # Errors
    /// [`DeviceTreeError::Malformed`].
    pub fn console(&self) -> Result<Option<Device<'tree>>, DeviceTreeError> {
        let Some(path) = self.chosen("stdout-path")?.and_then(text) else {
            return Ok(None);
        };
        // Options of the line may follow the path: `/pl011@9000000:115200n8`.
        let path = path.split(':').next().unwrap_or(path);
        // What does not begin with a slash is an alias (Devicetree Specification 0.4, 2.2.3 and 3.3).
        let path = match path.starts_with('/') {
            true => Some(path),
            false => self.property("/aliases", path)?.and_then(text),
        };
        match path.map(|path| self.fdt.find_node(path)).transpose()? {
            Some(Some(node)) => read_device(node),
            _ => Ok(None),
        }
    }

    /// Returns `/chosen/bootargs`, empty where there are none.
    ///
    /// # Errors
    /// [`DeviceTreeError::Malformed`]: not UTF-8, among others.
    pub fn boot_arguments(&self) -> Result<&'tree str, DeviceTreeError> {
        match self.chosen("bootargs")? {
            Some(value) => text(value).ok_or(DeviceTreeError::Malformed),
            None => Ok(""),
        }
    }

    /// Returns `/chosen/rng-seed`, random bytes from whoever started the machine.
    ///
    /// # Errors
    /// [`DeviceTreeError::Malformed`].
    pub fn rng_seed(&self) -> Result<Option<&'tree [u8]>, DeviceTreeError> {
        self.chosen("rng-seed")
    }

    /// Returns the machine's RAM and what of it is reserved.
    ///
    /// # Errors
    /// [`DeviceTreeError::Malformed`], [`DeviceTreeError::TooManyRegions`].
    pub fn memory(&self) -> Result<MemoryMap, DeviceTreeError> {
        let mut map = MemoryMap::default();
        for range in self.reservations() {
            map.add_reserved(range)?;
        }
        let root = self.fdt.find_node("/")?.ok_or(DeviceTreeError::Malformed)?;
        for node in root.children()?.iter() {
            let node = node?;
            match node.name()?.name {
                "memory" => {
                    for range in read_registers(&node)? {
                        map.add_ram(range)?;
                    }
                }
                "reserved-memory" => {
                    for child in node.children()?.iter() {
                        for range in read_registers(&child?)? {
                            map.add_reserved(range)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(map)
    }

    fn chosen(&self, property: &str) -> Result<Option<&'tree [u8]>, DeviceTreeError> {
        self.property("/chosen", property)
    }

    fn property(&self, path: &str, name: &str) -> Result<Option<&'tree [u8]>, DeviceTreeError> {
        let Some(node) = self.fdt.find_node(path)? else {
            return Ok(None);
        };
        Ok(node.raw_property(name)?.map(|it| it.value))
    }

    /// The memory reservation block: pairs of address and size, ended by a pair of zeros.
    fn reservations(&self) -> impl Iterator<Item = Range<u64>> {
        let start = self.fdt.header().memory_reserve_map_offset as usize / 4;
        let entries = self.words.get(start..).unwrap_or(&[]).chunks_exact(4);
        let wide = |high: u32, low: u32| {
            u64::from(u32::from_be(high)) << 32 | u64::from(u32::from_be(low))
        };
        entries
            .map(move |it| (wide(it[0], it[1]), wide(it[2], it[3])))
            .take_while(|&entry| entry != (0, 0))
            .map(|(start, size)| start..start.saturating_add(size))
    }
}

/// What a header says about the tree's length, in words.
struct Extent {
    total: usize,
    /// Up to the end of the last block.
    used: usize,
}

impl Extent {
    /// The longest tree that the boot protocol allows (Linux Documentation/arch/arm64/booting.rst).
    const LIMIT: u32 = 2 << 20;

    fn read(words: &[u32]) -> Result<Self, DeviceTreeError> {
        let word = |index: usize| words.get(index).map_or(0, |&it| u32::from_be(it));
        if word(0) != MAGIC {
            return Err(DeviceTreeError::Magic(word(0)));
        }
        let (total, structure, strings, reservations) = (word(1), word(2), word(3), word(4));
        let end = |start: u32, size: u32| start.checked_add(size).ok_or(DeviceTreeError::Header);
        let used = end(structure, word(9))?
            .max(end(strings, word(8))?)
            .max(reservations);
        let aligned = structure % 4 == 0 && reservations % 8 == 0;
        let in_order = structure >= 4 * HEADER_WORDS as u32 && used <= total;
        if !aligned || !in_order || total > Self::LIMIT {
            return Err(DeviceTreeError::Header);
        }
        // A tree that was packed, as Xen's toolstack does it, ends within a word.
        Ok(Self {
            total: total.div_ceil(4) as usize,
            used: used.div_ceil(4) as usize,
        })
    }
}

fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|&it| it == 0).unwrap_or(value.len());
    core::str::from_utf8(&value[..end]).ok()
}

fn read_registers<'tree>(
    node: &Node<'tree, Parser<'tree>>,
) -> Result<impl Iterator<Item = Range<u64>> + use<>, DeviceTreeError> {
    let list = match node.raw_property("reg")? {
        None => Default::default(),
        Some(value) => {
            let cells = match node.parent() {
                Some(parent) => parent.property::<CellSizes>()?.unwrap_or_default(),
                None => CellSizes::default(),
            };
            device::registers(value.value, cells.address_cells, cells.size_cells)?
        }
    };
    Ok(list.into_iter().filter(|it| !it.is_empty()))
}

fn read_device<'tree>(
    node: Node<'tree, Parser<'tree>>,
) -> Result<Option<Device<'tree>>, DeviceTreeError> {
    let Some(compatible) = property(&node, "compatible")? else {
        return Ok(None);
    };
    if is_disabled(&node)? {
        return Ok(None);
    }
    describe(node, compatible).map(Some)
}

fn property<'tree>(
    node: &Node<'tree, Parser<'tree>>,
    name: &str,
) -> Result<Option<&'tree [u8]>, DeviceTreeError> {
    Ok(node.raw_property(name)?.map(|it| it.value))
}

pub(crate) fn is_disabled<'tree>(
    node: &Node<'tree, Parser<'tree>>,
) -> Result<bool, DeviceTreeError> {
    let status = property(node, "status")?.and_then(text);
    Ok(status.is_some_and(|it| it != "okay" && it != "ok"))
}

pub(crate) fn describe<'tree>(
    node: Node<'tree, Parser<'tree>>,
    compatible: &'tree [u8],
) -> Result<Device<'tree>, DeviceTreeError> {
    let mut registers = [const { 0..0 }; 4];
    for (kept, range) in registers.iter_mut().zip(read_registers(&node)?) {
        *kept = range;
    }
    Ok(Device {
        name: node.name()?.name,
        compatible: core::str::from_utf8(compatible).map_err(|_| DeviceTreeError::Malformed)?,
        registers,
        interrupts: property(&node, "interrupts")?
            .map(device::interrupts)
            .unwrap_or_default(),
        method: property(&node, "method")?.and_then(text),
        node,
    })
}
