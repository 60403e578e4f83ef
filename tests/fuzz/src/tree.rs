//! The device tree: everything that boards ask of one.

use landfall_device_tree::{Device, DeviceTree, DeviceTreeError};

/// What boards look for, so that a fuzzer knows these words.
const COMPATIBLE: [&str; 8] = [
    "arm,pl011",
    "virtio,mmio",
    "arm,cortex-a15-gic",
    "arm,gic-v3",
    "arm,psci-1.0",
    "xen,xen",
    "allwinner,sun8i-h3-emac",
    "gpio-leds",
];

/// The image, somewhere in the memory of QEMU's `virt`.
const IMAGE: core::ops::Range<u64> = 0x4000_1000..0x4008_0000;

/// Reads a tree of these bytes, as one that a bootloader left, and the copy of it that a board keeps.
pub fn device_tree(bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut words: Vec<u32> = words.iter().map(|it| u32::from_ne_bytes(*it)).collect();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.push(u32::from_ne_bytes(last));
    let _ = read(&words);
    let Ok(tree) = DeviceTree::new(&words) else {
        return;
    };
    let used = tree.used_words();
    assert!(used <= words.len());
    words.truncate(used);
    DeviceTree::shrink(&mut words);
    let _ = read(&words);
}

fn read(words: &[u32]) -> Result<(), DeviceTreeError> {
    let tree = DeviceTree::new(words)?;
    let _ = (tree.boot_arguments(), tree.rng_seed());
    if let Ok(Some(console)) = tree.console() {
        look_at(&console, 0);
    }
    if let Ok(memory) = tree.memory() {
        memory.bytes();
        if let Some(free) = memory.largest_free(&IMAGE, 4096) {
            assert!(free.start < free.end && free.start % 4096 == 0 && free.end % 4096 == 0);
            assert!(free.end <= IMAGE.start || free.start >= IMAGE.end);
        }
    }
    let _ = tree.for_each_device(|device| look_at(&device, 0));
    tree.for_each_disabled_device(|device| look_at(&device, 0))
}

/// Asks a device everything; `depth` is how many it is within.
fn look_at(device: &Device<'_>, depth: usize) {
    device.is_compatible(&COMPATIBLE);
    for number in 0..5 {
        if let Some(registers) = device.registers(number) {
            assert!(registers.start < registers.end);
        }
        let _ = (
            device.interrupt(number),
            device.interrupt_of_one_cell(number),
        );
    }
    let _ = (
        device.name.len(),
        device.method.map(str::len),
        device.phandle(),
    );
    for name in [
        "gpios",
        "clocks",
        "reg",
        "local-mac-address",
        "phy-mode",
        "label",
    ] {
        device.cells(name).take(8).for_each(drop);
        device.property(name);
    }
    // Boards look at children, and at nobody within them.
    if depth == 0 {
        device.for_each_child(|child| look_at(&child, depth + 1));
    }
}
