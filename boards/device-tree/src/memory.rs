//! Which RAM there is, and which of it is free.

use crate::DeviceTreeError;
use core::ops::Range;

/// Room for this many regions of RAM, and as many of reserved memory.
const REGIONS: usize = 16;

/// A list of address ranges of fixed capacity: it is filled before there is a heap.
#[derive(Clone, Debug, Default)]
struct Ranges {
    list: [Range<u64>; REGIONS],
    length: usize,
}

impl Ranges {
    fn push(&mut self, range: Range<u64>) -> Result<(), DeviceTreeError> {
        if range.is_empty() {
            return Ok(());
        }
        let place = self.list.get_mut(self.length);
        *place.ok_or(DeviceTreeError::TooManyRegions(REGIONS))? = range;
        self.length += 1;
        Ok(())
    }

    fn as_slice(&self) -> &[Range<u64>] {
        &self.list[..self.length]
    }
}

/// The machine's RAM, and what of it somebody else uses.
#[derive(Clone, Debug, Default)]
pub struct MemoryMap {
    ram: Ranges,
    reserved: Ranges,
}

impl MemoryMap {
    pub(crate) fn add_ram(&mut self, range: Range<u64>) -> Result<(), DeviceTreeError> {
        self.ram.push(range)
    }

    pub(crate) fn add_reserved(&mut self, range: Range<u64>) -> Result<(), DeviceTreeError> {
        self.reserved.push(range)
    }

    /// Returns the regions of RAM.
    pub fn ram(&self) -> &[Range<u64>] {
        self.ram.as_slice()
    }

    /// Returns the regions that the firmware keeps.
    pub fn reserved(&self) -> &[Range<u64>] {
        self.reserved.as_slice()
    }

    /// Returns how many bytes of RAM there are.
    pub fn bytes(&self) -> u64 {
        self.ram().iter().map(|it| it.end - it.start).sum()
    }

    /// Returns the largest range of RAM that touches neither a reserved region nor `taken`, shrunk
    /// to multiples of `align`; `None` when there is none.
    pub fn largest_free(&self, taken: &Range<u64>, align: u64) -> Option<Range<u64>> {
        largest_free(self.ram(), self.reserved(), taken, align)
    }
}

/// Returns the largest part of `ram` outside of `reserved` and `taken`, shrunk to multiples of
/// `align`.
pub fn largest_free(
    ram: &[Range<u64>],
    reserved: &[Range<u64>],
    taken: &Range<u64>,
    align: u64,
) -> Option<Range<u64>> {
    let obstacles = || reserved.iter().chain([taken]).filter(|it| !it.is_empty());
    // A free range begins where RAM begins or where an obstacle ends, and reaches to the next
    // obstacle or the end of RAM.
    let from = |region: &Range<u64>, start: u64| {
        let end = obstacles()
            .filter(|it| it.end > start)
            .map(|it| it.start.max(start))
            .min()
            .map_or(region.end, |it| it.min(region.end));
        let (start, end) = (start.checked_next_multiple_of(align)?, end - end % align);
        (start < end).then_some(start..end)
    };
    ram.iter()
        .flat_map(|region| {
            let ends = obstacles()
                .map(|it| it.end)
                .filter(|it| region.contains(it));
            ends.chain([region.start])
                .filter_map(|start| from(region, start))
        })
        .max_by_key(|range| range.end - range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_what_is_left() {
        let whole = 0x4000_0000..0x4060_0000;
        let ram = core::slice::from_ref(&whole);
        let image = 0x4000_1000..0x4008_0000;
        assert_eq!(
            largest_free(ram, &[], &image, 4096),
            Some(0x4008_0000..0x4060_0000)
        );
        assert_eq!(
            largest_free(ram, &[], &(0..0), 4096),
            Some(0x4000_0000..0x4060_0000)
        );
        let top = 0x4050_0000..0x4060_0000;
        let reserved = [top, 0x4010_0000..0x4010_0010];
        assert_eq!(
            largest_free(ram, &reserved, &image, 4096),
            Some(0x4010_1000..0x4050_0000)
        );
        assert_eq!(largest_free(ram, ram, &image, 4096), None);
        assert_eq!(largest_free(&[], &[], &image, 4096), None);
    }

    #[test]
    fn overlapping_and_odd_ranges_do_no_harm() {
        let ram = [0..u64::MAX, 0x1000..0x2001];
        let reserved = [0..0x5000, 0x3000..0x9000, u64::MAX - 1..u64::MAX];
        let free = largest_free(&ram, &reserved, &(0x8000..0xa000), 4096).unwrap();
        assert_eq!(free, 0xa000..(u64::MAX - 1) & !0xfff);
    }

    #[test]
    fn too_many_regions_are_an_error() {
        let mut map = MemoryMap::default();
        for region in 0..REGIONS as u64 {
            map.add_ram(region * 2..region * 2 + 1).unwrap();
        }
        map.add_ram(5..5).unwrap();
        assert_eq!(
            map.add_ram(100..101),
            Err(DeviceTreeError::TooManyRegions(REGIONS))
        );
        assert_eq!(map.bytes(), REGIONS as u64);
    }
}
