//! Reads the device trees that QEMU hands to an image, whole and broken.

use landfall_device_tree::{DeviceTree, DeviceTreeError, InterruptKind};

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|it| u32::from_ne_bytes(it.try_into().unwrap()))
        .collect()
}

fn gicv2() -> Vec<u32> {
    words(include_bytes!("fixtures/virt-gicv2.dtb"))
}

fn gicv3() -> Vec<u32> {
    words(include_bytes!("fixtures/virt-gicv3.dtb"))
}

#[test]
fn chosen_and_memory() {
    let words = gicv3();
    let tree = DeviceTree::new(&words).unwrap();
    assert_eq!(tree.boot_arguments(), Ok("port=8080 log=debug"));
    assert_eq!(tree.rng_seed().unwrap().unwrap().len(), 32);
    let memory = tree.memory().unwrap();
    assert_eq!(memory.ram().len(), 1);
    assert_eq!(memory.ram()[0], 0x4000_0000..0x4400_0000);
    assert_eq!(memory.reserved(), []);
    assert_eq!(memory.bytes(), 64 << 20);
}

#[test]
fn console_is_the_pl011() {
    let words = gicv3();
    let console = DeviceTree::new(&words).unwrap().console().unwrap().unwrap();
    assert!(console.is_compatible(&["arm,pl011"]));
    assert!(!console.is_compatible(&["arm,pl01"]));
    assert_eq!(console.registers(0), Some(0x900_0000..0x900_1000));
    assert_eq!(console.registers(1), None);
}

#[test]
fn every_device_is_visited() {
    for (words, gic) in [(gicv2(), "arm,cortex-a15-gic"), (gicv3(), "arm,gic-v3")] {
        let mut slots = Vec::new();
        let mut found = Vec::new();
        let tree = DeviceTree::new(&words).unwrap();
        tree.for_each_device(|device| {
            if device.is_compatible(&["virtio,mmio"]) {
                let interrupt = device.interrupt(0).unwrap();
                assert_eq!(interrupt.kind, InterruptKind::Shared);
                assert!(interrupt.edge);
                slots.push((device.registers(0).unwrap().start, interrupt.number));
            } else if device.is_compatible(&["arm,armv8-timer"]) {
                let timer = device.interrupt(2).unwrap();
                assert_eq!((timer.kind, timer.number), (InterruptKind::Private, 11));
                found.push("timer");
            } else if device.is_compatible(&["arm,psci"]) {
                assert_eq!(device.method, Some("hvc"));
                found.push("psci");
            } else if device.is_compatible(&[gic]) {
                assert_eq!(device.registers(0), Some(0x800_0000..0x801_0000));
                assert!(device.registers(1).is_some());
                found.push("gic");
            }
        })
        .unwrap();
        found.sort();
        assert_eq!(found, ["gic", "psci", "timer"]);
        slots.sort();
        let expected: Vec<_> = (0..32)
            .map(|it| (0xa00_0000 + 0x200 * it, 16 + it as u32))
            .collect();
        assert_eq!(slots, expected);
    }
}

#[test]
fn a_shrunk_copy_reads_the_same() {
    let mut padded = gicv3();
    let used = padded.len();
    padded.resize(used + 1000, 0);
    padded[1] = (4 * padded.len() as u32).to_be();
    let tree = DeviceTree::new(&padded).unwrap();
    assert_eq!(tree.used_words(), used);
    let mut copy = padded[..used].to_vec();
    assert!(
        DeviceTree::new(&copy).is_err(),
        "shorter than its header says"
    );
    DeviceTree::shrink(&mut copy);
    assert_eq!(copy, gicv3());
}

#[test]
fn headers_that_lie_are_refused() {
    let error = |change: fn(&mut Vec<u32>)| {
        let mut words = gicv3();
        change(&mut words);
        DeviceTree::new(&words).err()
    };
    assert_eq!(error(|it| it.clear()), Some(DeviceTreeError::Magic(0)));
    assert_eq!(
        error(|it| it[0] = 7u32.to_be()),
        Some(DeviceTreeError::Magic(7))
    );
    assert_eq!(error(|it| it[1] = 0), Some(DeviceTreeError::Header));
    assert_eq!(error(|it| it[1] = u32::MAX), Some(DeviceTreeError::Header));
    assert_eq!(error(|it| it[2] = u32::MAX), Some(DeviceTreeError::Header));
    assert_eq!(
        error(|it| it[3] = 0xffff_0000u32.to_be()),
        Some(DeviceTreeError::Header)
    );
    assert_eq!(
        error(|it| it[2] = 6u32.to_be()),
        Some(DeviceTreeError::Header)
    );
    assert_eq!(error(|it| it.truncate(30)), Some(DeviceTreeError::Header));
}

/// Reads everything that boards read.
fn read_all(words: &[u32]) -> Result<(), DeviceTreeError> {
    let tree = DeviceTree::new(words)?;
    let _ = tree
        .memory()?
        .largest_free(&(0x4000_1000..0x4008_0000), 4096);
    let _ = (tree.boot_arguments()?, tree.rng_seed()?, tree.console()?);
    tree.for_each_device(|device| {
        let _ = (
            device.registers(0),
            device.interrupt(0),
            device.is_compatible(&["x"]),
        );
    })
}

/// Every word replaced, one at a time, by values that break things: an error or a tree that reads
/// otherwise, never a panic and never a loop without an end.
#[test]
fn a_broken_word_never_panics() {
    let original = gicv3();
    for index in 0..original.len() {
        for value in [0, 1, 2, 9, u32::MAX] {
            let mut words = original.clone();
            words[index] = value.to_be();
            let _ = read_all(&words);
        }
    }
    for length in 0..original.len() {
        let mut words = original[..length].to_vec();
        DeviceTree::shrink(&mut words);
        let _ = read_all(&words);
    }
}
