//! The map of memory: page tables, the MMU, and the heap.

use crate::machine::Core;
use core::{cell::Cell, ops::Range};
use critical_section::Mutex;
use landfall_arch::{
    boot_log, crash, image, mmu,
    translation::{IdentityMap, MapError, Memory, PAGE, Table},
};
use landfall_device_tree::{DeviceTree, Registers};

/// Enough for RAM of any size (in blocks of 1 GiB and 2 MiB, or sections of 1 MiB), the image's pages, and devices in
/// a few different places.
const TABLES: usize = 24;

/// The tables, until they are taken.
static POOL: Mutex<Cell<Option<&'static mut [Table; TABLES]>>> = {
    static mut STORAGE: [Table; TABLES] = [const { Table::EMPTY }; TABLES];
    // SAFETY: The only reference to `STORAGE`, whose name ends with this block.
    // The plain `&mut STORAGE` that this lint prefers is what `static_mut_refs` warns of.
    #[allow(clippy::deref_addrof)]
    Mutex::new(Cell::new(Some(unsafe { &mut *(&raw mut STORAGE) })))
};

/// Switches the MMU on, with `devices` mapped, and makes the heap of the largest free piece of RAM;
/// returns the device tree, which now lies below the heap, and the map, to which more can be added.
pub fn init(
    machine: &Core,
    devices: impl Iterator<Item = Registers>,
) -> (DeviceTree<'static>, mmu::Map) {
    boot_log!("mapping memory, switching the MMU on");
    let pool = critical_section::with(|cs| POOL.borrow(cs).take());
    let pool = pool.expect("memory is set up once");
    let mut tables = mmu::tables(pool);
    if let Err(error) = map(machine, devices, &mut tables) {
        fail(format_args!("cannot map memory: {error}"));
    }
    // SAFETY:
    // 1. `map` mapped the parts of the image, all other RAM and, in RAM, the device tree.
    // 2. Devices are coherent virtio devices, and no other core runs.
    let map = unsafe { mmu::enable(tables) };

    let free = machine.memory.largest_free(&image::layout().whole, PAGE);
    let Some(free) = free else {
        fail(format_args!("no RAM is free beside the image"));
    };
    let (tree, free) = move_tree(machine.tree, free);
    boot_log!(
        "heap of {} KiB at {:#x}",
        (free.end - free.start) >> 10,
        free.start
    );
    // SAFETY: Mapped RAM that nobody uses: outside of the image, of what the firmware reserved and
    // of the device tree.
    landfall::heap::init(unsafe {
        core::slice::from_raw_parts_mut(free.start as *mut _, (free.end - free.start) as usize)
    });
    // Its words were read before; a copy reads the same.
    match DeviceTree::new(tree) {
        Ok(tree) => (tree, map),
        Err(error) => fail(format_args!("copied device tree: {error}")),
    }
}

fn map(
    machine: &Core,
    devices: impl Iterator<Item = Registers>,
    tables: &mut mmu::Tables,
) -> Result<(), MapError> {
    let layout = image::layout();
    tables.map(layout.text, Memory::Code)?;
    tables.map(layout.rodata, Memory::Constants)?;
    tables.map(layout.data, Memory::Data)?;
    tables.map(layout.stack, Memory::Data)?;
    tables.map(layout.exception_stack, Memory::Data)?;
    for ram in machine.memory.ram() {
        for part in outside(ram, &layout.whole) {
            // The first page of the address space stays unmapped even where RAM begins there.
            let start = part.start.max(PAGE).next_multiple_of(PAGE);
            let end = part.end - part.end % PAGE;
            if start < end {
                tables.map(start..end, Memory::Data)?;
            }
        }
    }
    for registers in machine.registers().chain(devices) {
        tables.map_touched(registers, Memory::Device)?;
    }
    Ok(())
}

/// The parts of `range` below and above `hole`.
fn outside(range: &Range<u64>, hole: &Range<u64>) -> [Range<u64>; 2] {
    [
        range.start..range.end.min(hole.start),
        range.start.max(hole.end)..range.end,
    ]
}

/// Copies the device tree to the start of `free`; returns the copy and the rest.
fn move_tree(tree: &[u32], free: Range<u64>) -> (&'static [u32], Range<u64>) {
    let words = DeviceTree::new(tree).map_or(tree.len(), |it| it.used_words());
    let rest = free.start + (4 * words as u64).next_multiple_of(64)..free.end;
    if rest.end.saturating_sub(rest.start) < PAGE {
        fail(format_args!(
            "too little RAM is free beside the image: {free:#x?}"
        ));
    }
    let copy = free.start as *mut u32;
    // SAFETY: `free` is mapped RAM that nobody uses: it lies outside of the image and of what the
    // firmware reserved. The old tree may overlap the new one, which `copy` allows, and is not
    // used after it.
    let copy = unsafe {
        core::ptr::copy(tree.as_ptr(), copy, words);
        core::slice::from_raw_parts_mut(copy, words)
    };
    DeviceTree::shrink(copy);
    (copy, rest)
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    boot_log!("{why}");
    crash::stop(landfall::ExitCode::Failure as u8)
}
