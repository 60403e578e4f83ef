//! The card against a device of the test's own, which plays by the rules or breaks them.

use super::model::*;
use super::*;
use std::vec;

type Card = (VirtioNet<Device>, Doorbell<Device>);

fn card_with(offers: u64, memory: u64) -> Card {
    let device = Device {
        offers,
        link: 1,
        ..Device::default()
    };
    VirtioNet::new(device, &INTERRUPT, memory).expect("there is memory")
}

fn card() -> Card {
    card_with(ALL, 64 << 20)
}

impl VirtioNet<Device> {
    /// The device sends a frame, with these flags, in as many buffers as it takes.
    pub(super) fn arrives(&self, flags: u8, frame: &[u8]) {
        let header = [&[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0, 0], frame].concat();
        let pieces = header.chunks(STRIDE).count() as u16;
        self.device(0, |queue| {
            for (number, piece) in header.chunks(STRIDE).enumerate() {
                let id = queue.take().expect("a buffer");
                let buffer = queue.buffer(id);
                buffer[..piece.len()].copy_from_slice(piece);
                if number == 0 {
                    buffer[10..12].copy_from_slice(&pieces.to_le_bytes());
                }
                queue.give(id.into(), piece.len() as u32);
            }
        });
    }
}

#[test]
fn the_device_is_told_what_is_used_of_it() {
    let accepted = |offers, memory| {
        let (card, _) = card_with(offers, memory);
        card.shared.borrow().slot.accepted
    };
    assert_eq!(accepted(ALL | 1 << 40, 64 << 20), ALL);
    // Little memory: no long frames.
    let long = feature::MRG_RXBUF
        | feature::GUEST_TSO4
        | feature::GUEST_TSO6
        | feature::HOST_TSO4
        | feature::HOST_TSO6;
    assert_eq!(accepted(ALL, 4 << 20), ALL & !long);
    // Those that need another do not come without.
    let receiving = feature::GUEST_TSO4 | feature::GUEST_TSO6;
    let without = ALL & !feature::MRG_RXBUF;
    assert_eq!(accepted(without, 64 << 20), without & !receiving);
    let without = ALL & !feature::CSUM;
    let sending = feature::HOST_TSO4 | feature::HOST_TSO6;
    assert_eq!(accepted(without, 64 << 20), without & !sending);
}

#[test]
fn frames_of_any_length_arrive_whole_wherever_they_lie() {
    let (mut card, _) = card();
    // Several rounds of all buffers, so that some go over the edge.
    let mut length = 60;
    for round in 0..200 {
        let frame = plain(length, round as u8);
        card.arrives(2, &frame);
        assert_eq!(card.received(), Some(frame), "{length} bytes");
        length = 60 + (length * 7 + 977 * round) % 65_000;
    }
    // Some at once.
    for number in 0..5 {
        card.arrives(2, &plain(9_000, number));
    }
    for number in 0..5 {
        assert_eq!(card.received(), Some(plain(9_000, number)));
    }
    assert_eq!(card.received(), None);
}

#[test]
fn checksums_are_looked_at_unless_the_device_has() {
    let (mut card, _) = card();
    let good = segment(1, 100);
    let mut bad = good.clone();
    bad[80] ^= 1;
    for (flags, frame, arrives) in [
        (0, &good, true),
        (0, &bad, false),
        (1, &bad, true),
        (2, &bad, true),
    ] {
        card.arrives(flags, frame);
        assert_eq!(card.received().is_some(), arrives, "{flags}");
    }
}

#[test]
fn segments_go_as_one_frame_that_says_how_it_is_to_be_cut() {
    let (mut card, mut doorbell) = card();
    ring(&mut doorbell);
    card.device(1, |queue| queue.ask());
    assert!(card.sends_segments(1, 20 * 1460 + 7, 1460));
    assert!(card.sends(&plain(60, 3)));
    assert_eq!(card.shared.borrow().slot.notified[1], 0, "not yet");
    ring(&mut doorbell);
    assert_eq!(card.shared.borrow().slot.notified[1], 1, "once for all");
    let sent = card.sent();
    let [long, short] = &sent[..] else {
        panic!("{} frames", sent.len())
    };
    let (header, frame) = long.split_at(12);
    assert_eq!(frame.len(), 54 + 20 * 1460 + 7);
    assert_eq!(frame[54..], segment(1, 20 * 1460 + 7)[54..]);
    // NEEDS_CSUM, TCPV4, 54 bytes of headers, segments of 1460, the sum from 34 on, its field 16 behind.
    assert_eq!(header, [1, 1, 54, 0, 0xb4, 0x05, 34, 0, 16, 0, 0, 0]);
    assert_eq!(short[12..], plain(60, 3));
    assert_eq!(short[..12], [0; 12]);
}

#[test]
fn long_frames_wait_for_their_buffers_and_others_do_not() {
    let (mut card, _doorbell) = card();
    for number in 0..4 {
        assert!(card.sends_segments(number, 60_000, 1460), "{number}");
    }
    assert!(
        !card.sends_segments(4, 60_000, 1460),
        "all are on their way"
    );
    assert!(card.sends(&plain(60, 1)));
    assert_eq!(card.sent().len(), 5);
    assert!(card.sends_segments(4, 60_000, 1460));
}

#[test]
fn segments_are_cut_where_device_and_memory_are_for_it() {
    let cuts = |offers, memory| {
        let (card, _) = card_with(offers, memory);
        [IpVersion::V4, IpVersion::V6].map(|version| card.segments(version))
    };
    assert_eq!(cuts(ALL, 64 << 20), [true, true]);
    assert_eq!(cuts(ALL & !feature::HOST_TSO4, 64 << 20), [false, true]);
    assert_eq!(cuts(ALL & !feature::HOST_TSO6, 64 << 20), [true, false]);
    assert_eq!(cuts(ALL & !feature::CSUM, 64 << 20), [false, false]);
    assert_eq!(cuts(ALL, 4 << 20), [false, false]);
}

#[test]
fn without_offloads_frames_go_one_by_one_and_whole() {
    let (mut card, mut doorbell) = card_with(feature::VERSION_1 | feature::MAC, 64 << 20);
    ring(&mut doorbell);
    let mut blank = segment(1, 1460);
    blank[50..52].fill(0);
    for _ in 0..2 {
        assert!(card.sends(&blank));
    }
    ring(&mut doorbell);
    for frame in card.sent() {
        assert_eq!(frame[12..], segment(1, 1460));
    }
}

#[test]
fn a_device_that_takes_nothing_makes_the_stack_wait_and_one_that_does_lets_it_go_on() {
    let (mut card, mut doorbell) = card();
    ring(&mut doorbell);
    for number in 0..1000 {
        if !card.sends(&plain(60, number as u8)) {
            assert_eq!(number, 64, "as many as there are buffers");
            break;
        }
    }
    assert_eq!(card.sent().len(), 64);
    assert!(card.sends(&plain(60, 1)));
}

#[test]
fn the_link_is_the_devices() {
    let (mut card, _) = card();
    let mut context = Context::from_waker(Waker::noop());
    assert!(card.link_state(&mut context) == LinkState::Up);
    for (status, state) in [(0, LinkState::Down), (1, LinkState::Up)] {
        {
            let mut shared = card.shared.borrow_mut();
            shared.slot.link = status;
            // The news comes while that of a frame is acknowledged.
            shared.slot.interrupts = vec![
                InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT,
                InterruptStatus::QUEUE_INTERRUPT,
            ];
        }
        INTERRUPT.signal();
        assert_eq!(card.received(), None);
        assert!(card.link_state(&mut context) == state, "{status}");
        let left = &card.shared.borrow().slot.interrupts;
        assert!(left.is_empty(), "no edge would come any more");
    }
}

/// Whatever a device gives back: nothing panics, and when it comes to its senses frames pass again.
#[test]
fn a_device_that_talks_nonsense_does_no_harm() {
    for seed in 0..60_u32 {
        let (mut card, mut doorbell) = card();
        let mut state = seed.wrapping_mul(2_654_435_761);
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for _ in 0..400 {
            match random(6) {
                0 => card.device(0, |queue| {
                    queue.give(random(1 << 10), random(1 << 14));
                }),
                1 => card.device(1, |queue| queue.give(random(1 << 9), random(1 << 14))),
                2 => card.device(0, |queue| {
                    // A header that promises more than there is.
                    if let Some(id) = queue.take() {
                        let promised = random(300) as u16;
                        queue.buffer(id)[10..12].copy_from_slice(&promised.to_le_bytes());
                        queue.give(id.into(), random(4096));
                    }
                }),
                3 => drop(card.sends(&segment(random(1 << 20), 1460))),
                4 => drop(card.received()),
                _ => ring(&mut doorbell),
            }
        }
        // It comes to its senses: what it has is sent, and what was sent to it is forgotten.
        ring(&mut doorbell);
        card.sent();
        while card.received().is_some() {}
        for length in [60, 1514] {
            card.arrives(2, &plain(length, 1));
            assert_eq!(card.received(), Some(plain(length, 1)), "seed {seed}");
        }
        assert!(card.sends(&plain(60, 2)));
        ring(&mut doorbell);
        assert_eq!(
            card.sent().last().map(|it| it[12..].to_vec()),
            Some(plain(60, 2))
        );
    }
}
