//! The map of memory: page tables, the MMU, and the heap.

use crate::{machine::Machine, power};
use core::{cell::Cell, mem::MaybeUninit, ops::Range};
use critical_section::Mutex;
use landfall_arch::{
    boot_log, image, mmu,
    translation::{MapError, Memory, PAGE, PageTables, Table},
};
use landfall_device_tree::DeviceTree;

/// Enough for RAM of any size (in blocks of 1 GiB and 2 MiB), the image's pages, and devices in a
/// few different places.
const TABLES: usize = 24;

/// The tables, until they are taken.
static POOL: Mutex<Cell<Option<&'static mut [Table; TABLES]>>> = {
    static mut STORAGE: [Table; TABLES] = [const { Table::EMPTY }; TABLES];
    // SAFETY: The only reference to `STORAGE`, whose name ends with this block.
    Mutex::new(Cell::new(Some(unsafe { &mut *(&raw mut STORAGE) })))
};

/// Switches the MMU on and makes the heap of the largest free piece of RAM; returns the device
/// tree, which now lies below the heap.
pub(crate) fn init(machine: &Machine) -> DeviceTree<'static> {
    boot_log!("mapping memory, switching the MMU on");
    let pool = critical_section::with(|cs| POOL.borrow(cs).take());
    let pool = pool.expect("memory is set up once");
    let mut tables = PageTables::new(pool, mmu::ADDRESS_BITS);
    if let Err(error) = map(machine, &mut tables) {
        fail(format_args!("cannot map memory: {error}"));
    }
    // SAFETY:
    // 1. `map` mapped the parts of the image, all other RAM and, in RAM, the device tree.
    // 2. Devices are coherent virtio devices, and no other core runs.
    unsafe { mmu::enable(tables) };

    let free = machine.memory.largest_free(&image::layout().whole, PAGE);
    let Some(free) = free else {
        fail(format_args!("no RAM is free beside the image"));
    };
    let (tree, heap) = move_tree(machine.tree, free);
    boot_log!(
        "heap of {} KiB at {:#x}",
        heap.len() >> 10,
        heap.as_ptr() as usize
    );
    landfall::heap::init(heap);
    // Its words were read before; a copy reads the same.
    DeviceTree::new(tree).unwrap_or_else(|error| fail(format_args!("copied device tree: {error}")))
}

fn map(machine: &Machine, tables: &mut PageTables<'_>) -> Result<(), MapError> {
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
    for registers in machine.registers() {
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

/// Copies the device tree to the start of `free`; returns it and the rest.
fn move_tree(
    tree: &'static [u32],
    free: Range<u64>,
) -> (&'static [u32], &'static mut [MaybeUninit<u8>]) {
    let words = DeviceTree::new(tree).map_or(tree.len(), |it| it.used_words());
    let bytes = (4 * words).next_multiple_of(64);
    let (start, length) = (free.start as usize, (free.end - free.start) as usize);
    if length < 2 * bytes {
        fail(format_args!(
            "only {length} bytes of RAM are free beside the image"
        ));
    }
    // SAFETY: `free` is mapped RAM that nobody uses: it lies outside the image and what the
    // firmware reserved. The old tree may overlap the new one, which `copy` allows, and is not
    // used after it.
    unsafe {
        core::ptr::copy(tree.as_ptr(), start as *mut u32, words);
        let tree = core::slice::from_raw_parts_mut(start as *mut u32, words);
        DeviceTree::shrink(tree);
        let heap = core::slice::from_raw_parts_mut((start + bytes) as *mut _, length - bytes);
        (tree, heap)
    }
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    boot_log!("{why}");
    power::stop(landfall::ExitCode::Failure as u8)
}
