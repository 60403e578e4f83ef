//! Reads the device tree that Xen's toolstack hands to a guest, which ends within a word.

use landfall_device_tree::{DeviceTree, DeviceTreeError, InterruptKind};

const BYTES: &[u8] = include_bytes!("fixtures/xen-guest.dtb");

/// Returns the tree as it is in memory, with something else behind it in its last word.
fn guest() -> Vec<u32> {
    let mut bytes = BYTES.to_vec();
    assert!(!bytes.len().is_multiple_of(4), "the fixture was padded");
    bytes.resize(bytes.len().next_multiple_of(4), 0xa5);
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|it| u32::from_ne_bytes(*it)).collect()
}

#[test]
fn all_of_it_is_read() {
    let words = guest();
    let tree = DeviceTree::new(&words).unwrap();
    assert_eq!(tree.used_words(), words.len());
    assert_eq!(tree.boot_arguments(), Ok("port=8080 log=debug"));
    assert_eq!(tree.rng_seed().unwrap().unwrap().len(), 128);
    let memory = tree.memory().unwrap();
    assert_eq!(memory.ram().len(), 1);
    assert_eq!(memory.ram()[0], 0x4000_0000..0x4400_0000);
    assert_eq!(memory.reserved(), []);
}

#[test]
fn the_node_of_xen_has_memory_and_an_interrupt() {
    let words = guest();
    let tree = DeviceTree::new(&words).unwrap();
    let (mut grants, mut events) = (Vec::new(), Vec::new());
    tree.for_each_device(|device| {
        if device.is_compatible(&["xen,xen"]) {
            grants.extend(device.registers(0));
            events.extend(device.interrupt(0).map(|it| (it.kind, it.number)));
        }
    })
    .unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0], 0x3800_0000..0x3900_0000);
    assert_eq!(events, [(InterruptKind::Private, 15)]);
}

/// The boot code copies the tree to where it is safe, and sets its length to whole words.
#[test]
fn a_copy_in_whole_words_reads_the_same() {
    let mut copy = guest();
    assert!(DeviceTree::new(&copy[..copy.len() - 1]).is_err());
    DeviceTree::shrink(&mut copy);
    let tree = DeviceTree::new(&copy).unwrap();
    assert_eq!(tree.used_words(), copy.len());
    assert_eq!(tree.boot_arguments(), Ok("port=8080 log=debug"));
}

#[test]
fn a_length_that_cuts_a_block_off_is_refused() {
    let mut words = guest();
    words[1] = (BYTES.len() as u32 - 1).to_be();
    assert_eq!(DeviceTree::new(&words).err(), Some(DeviceTreeError::Header));
}
