use super::*;

const NO_CACHE: DataCache = DataCache {
    clean: |_| {},
    discard: |_| {},
};

/// What the controller writes into a descriptor.
fn receive(ring: &Ring, status: u32, length: u32) {
    let descriptor = &ring.descriptors[ring.at];
    let status = status | length << LENGTH_SHIFT;
    descriptor.status.store(status, Ordering::Release);
}

#[test]
fn descriptors_are_a_circle_and_each_has_a_buffer() {
    let ring = Ring::new(NO_CACHE);
    for (index, descriptor) in ring.descriptors.iter().enumerate() {
        let next = ring.descriptors[(index + 1) % RING].address() as u32;
        assert_eq!(descriptor.next.load(Ordering::Relaxed), next);
        let buffer = ring.buffers[index].address();
        assert_eq!(descriptor.buffer.load(Ordering::Relaxed), buffer as u32);
        assert!(buffer.is_multiple_of(crate::dma::LINE));
        assert!(descriptor.address().is_multiple_of(crate::dma::LINE));
    }
}

#[test]
fn an_offered_buffer_is_the_controllers() {
    let ring = Ring::new(NO_CACHE);
    assert!(ring.is_ours());
    ring.descriptors[0].offer(NO_CACHE);
    assert!(!ring.is_ours());
    assert_eq!(
        ring.descriptors[0].control.load(Ordering::Relaxed),
        CHAINED | BUFFER as u32
    );
}

#[test]
fn whole_frames_come_without_their_check_sequence() {
    let ring = Ring::new(NO_CACHE);
    for (length, bytes) in [(64, 60), (1518, 1514), (5, 1)] {
        receive(&ring, FIRST | LAST, length);
        assert_eq!(ring.frame(), Some(bytes));
    }
}

#[test]
fn what_is_no_frame_is_dropped() {
    let ring = Ring::new(NO_CACHE);
    for (status, length) in [
        (FIRST, 64),
        (LAST, 64),
        (0, 64),
        (FIRST | LAST | 1 << 1, 64),
        (FIRST | LAST | 1 << 14, 64),
        (FIRST | LAST, 0),
        (FIRST | LAST, 3),
        (FIRST | LAST, 4),
        (FIRST | LAST, 1519),
        (FIRST | LAST, LENGTH_MASK),
    ] {
        receive(&ring, status, length);
        assert_eq!(ring.frame(), None, "{status:#x} {length}");
    }
}
