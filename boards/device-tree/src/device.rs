//! A device as the device tree describes it.

use crate::{
    DeviceTreeError,
    tree::{Parser, describe, is_disabled},
};
use core::ops::Range;
use fdt::nodes::Node;

/// Bytes of a device's registers.
pub type Registers = Range<u64>;

/// How many register ranges and interrupts of a device are kept.
const KEPT: usize = 4;

/// A node with a `compatible` property that is not disabled.
pub struct Device<'tree> {
    /// The node's name, without its address.
    pub name: &'tree str,
    /// What drivers it is for, best first.
    pub compatible: &'tree str,
    pub(crate) registers: [Registers; KEPT],
    pub(crate) interrupts: [Option<Interrupt>; KEPT],
    /// The `method` property, of PSCI's node.
    pub method: Option<&'tree str>,
    pub(crate) node: Node<'tree, Parser<'tree>>,
}

impl<'tree> Device<'tree> {
    /// Returns a property, for what only one kind of device has; `None` where there is none.
    pub fn property(&self, name: &str) -> Option<&'tree [u8]> {
        // The tree was checked when it was read.
        Some(self.node.raw_property(name).ok()??.value)
    }

    /// Returns a property's big-endian words, none where there is no such property; bytes beyond them are left out.
    pub fn cells(&self, name: &str) -> impl Iterator<Item = u32> + use<'tree> {
        let (words, _) = self.property(name).unwrap_or_default().as_chunks::<4>();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// Returns the number by which other nodes name it.
    pub fn phandle(&self) -> Option<u32> {
        self.cells("phandle").next()
    }

    /// Calls `visit` for each node within it that is not disabled, also for those that are no devices of their own.
    pub fn for_each_child(&self, mut visit: impl FnMut(Device<'tree>)) {
        // The tree was checked when it was read.
        let Ok(children) = self.node.children() else {
            return;
        };
        for child in children.iter().flatten() {
            let compatible = child.raw_property("compatible").ok().flatten();
            let compatible = compatible.map_or(&[][..], |it| it.value);
            if is_disabled(&child) == Ok(false)
                && let Ok(child) = describe(child, compatible)
            {
                visit(child);
            }
        }
    }

    /// Returns whether a driver for any of `names` fits.
    pub fn is_compatible(&self, names: &[&str]) -> bool {
        self.compatible.split('\0').any(|it| names.contains(&it))
    }

    /// Returns the register range of that number.
    pub fn registers(&self, number: usize) -> Option<Registers> {
        self.registers
            .get(number)
            .filter(|it| !it.is_empty())
            .cloned()
    }

    /// Returns the interrupt of that number, of a controller whose binding has one cell for each.
    pub fn interrupt_of_one_cell(&self, number: usize) -> Option<u32> {
        one_cell(self.property("interrupts")?, number)
    }

    /// Returns the interrupt of that number.
    pub fn interrupt(&self, number: usize) -> Option<Interrupt> {
        self.interrupts.get(number).copied().flatten()
    }
}

/// An interrupt of a device, as the GIC's binding encodes it (Linux
/// Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml: type, number, flags).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interrupt {
    /// Shared by all cores, or private to each.
    pub kind: InterruptKind,
    /// Its number within the kind.
    pub number: u32,
    /// Raised by an edge rather than by a level.
    pub edge: bool,
}

/// Which of the GIC's ranges an interrupt is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InterruptKind {
    /// Shared peripheral interrupt.
    Shared,
    /// Private peripheral interrupt.
    Private,
}

/// Reads a big-endian number of `cells` words.
pub(crate) fn number(bytes: &[u8]) -> Result<u64, DeviceTreeError> {
    if bytes.len() > 8 {
        return Err(DeviceTreeError::Malformed);
    }
    Ok(bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// Reads the first ranges of a `reg` property.
pub(crate) fn registers(
    value: &[u8],
    address_cells: usize,
    size_cells: usize,
) -> Result<[Registers; KEPT], DeviceTreeError> {
    let mut list = [const { 0..0 }; KEPT];
    let (address_bytes, entry_bytes) = (4 * address_cells, 4 * (address_cells + size_cells));
    if entry_bytes == 0 {
        return Ok(list);
    }
    for (range, entry) in list.iter_mut().zip(value.chunks_exact(entry_bytes)) {
        let (address, size) = entry.split_at(address_bytes);
        // Of an address that is wider (PCI's), nothing here has a use.
        let (Ok(address), Ok(size)) = (number(address), number(size)) else {
            continue;
        };
        let end = address
            .checked_add(size)
            .ok_or(DeviceTreeError::Malformed)?;
        *range = address..end;
    }
    Ok(list)
}

fn one_cell(interrupts: &[u8], number: usize) -> Option<u32> {
    let cell = interrupts.chunks_exact(4).nth(number)?;
    Some(u32::from_be_bytes(cell.try_into().ok()?))
}

/// Reads the first interrupts of an `interrupts` property of three cells each.
pub(crate) fn interrupts(value: &[u8]) -> [Option<Interrupt>; KEPT] {
    let mut list = [None; KEPT];
    for (interrupt, cells) in list.iter_mut().zip(value.chunks_exact(12)) {
        let cell = |index: usize| number(&cells[4 * index..4 * index + 4]).unwrap_or(0) as u32;
        let kind = match cell(0) {
            0 => InterruptKind::Shared,
            1 => InterruptKind::Private,
            _ => continue,
        };
        *interrupt = Some(Interrupt {
            kind,
            number: cell(1),
            edge: cell(2) & 0b11 != 0,
        });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn register_ranges_of_any_cell_count() {
        let wide = [0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0];
        assert_eq!(registers(&wide, 2, 2).unwrap()[0], 0x900_0000..0x900_1000);
        let narrow = [0, 0, 0x10, 0, 0, 0, 0, 8];
        assert_eq!(registers(&narrow, 1, 1).unwrap()[0], 0x1000..0x1008);
        assert_eq!(registers(&[1, 2, 3], 2, 2).unwrap()[0], 0..0);
        assert_eq!(registers(&narrow, 0, 0).unwrap()[0], 0..0);
        let overflow = [0xff; 16];
        assert_eq!(registers(&overflow, 2, 2), Err(DeviceTreeError::Malformed));
    }

    #[test]
    fn interrupts_of_one_cell() {
        let cells = [0, 0, 0, 22, 0, 0, 0, 23, 1, 2];
        let list = [0, 1, 2].map(|number| one_cell(&cells, number));
        assert_eq!(list, [Some(22), Some(23), None]);
    }

    #[test]
    fn interrupts_of_both_kinds() {
        let cells = [
            0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 4,
        ];
        let list = interrupts(&cells);
        let shared = Interrupt {
            kind: InterruptKind::Shared,
            number: 16,
            edge: true,
        };
        let private = Interrupt {
            kind: InterruptKind::Private,
            number: 11,
            edge: false,
        };
        assert_eq!(list[..3], [Some(shared), Some(private), None]);
    }
}
