//! The card against a device of the test's own, which plays by the rules or breaks them.

use super::*;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use embassy_net_driver::{RxToken as _, TxToken as _};
use std::vec;
use std::vec::Vec;
use virtio_drivers::PhysAddr;
use virtio_drivers::transport::DeviceType;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What QEMU's device offers.
const ALL: u64 = feature::CSUM
    | feature::GUEST_CSUM
    | feature::MAC
    | feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::HOST_TSO4
    | feature::HOST_TSO6
    | feature::MRG_RXBUF
    | feature::STATUS
    | feature::EVENT_IDX
    | feature::VERSION_1;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

/// A queue as the device sees it.
#[derive(Clone, Copy, Default)]
struct Seen {
    size: u16,
    descriptors: usize,
    available: usize,
    used: usize,
    /// How far it has read.
    next: u16,
    /// How far it has written.
    given: u16,
}

/// A device.
#[derive(Default)]
struct Device {
    offers: u64,
    accepted: u64,
    status: DeviceStatus,
    queues: [Seen; 2],
    notified: [usize; 2],
    link: u16,
    /// What it has to say, one after the other.
    interrupts: Vec<InterruptStatus>,
}

type Card = (VirtioNet<Device>, Doorbell<Device>);

impl Seen {
    // SAFETY (of all three): The driver gives its rings to the device for good, and both use them as atomic numbers.
    fn half(&self, address: usize) -> &AtomicU16 {
        // SAFETY: As above.
        unsafe { &*(address as *const AtomicU16) }
    }

    fn word(&self, address: usize) -> &AtomicU32 {
        // SAFETY: As above.
        unsafe { &*(address as *const AtomicU32) }
    }

    /// The buffer of a descriptor.
    fn buffer(&mut self, id: u16) -> &mut [u8] {
        let at = self.descriptors + 16 * usize::from(id % self.size);
        let low = self.word(at).load(Ordering::Relaxed) as usize;
        let high = self.word(at + 4).load(Ordering::Relaxed) as usize;
        let length = self.word(at + 8).load(Ordering::Relaxed) as usize;
        // SAFETY: The driver has lent it, and does not touch it until it is given back.
        unsafe { core::slice::from_raw_parts_mut((high << 32 | low) as *mut u8, length) }
    }

    /// The next buffer that was lent.
    fn take(&mut self) -> Option<u16> {
        let index = self.half(self.available + 2).load(Ordering::Acquire);
        if index == self.next {
            return None;
        }
        let place = self.available + 4 + 2 * usize::from(self.next % self.size);
        self.next = self.next.wrapping_add(1);
        Some(self.half(place).load(Ordering::Relaxed))
    }

    /// Gives a buffer back, as it says.
    fn give(&mut self, id: u32, length: u32) {
        let place = self.used + 4 + 8 * usize::from(self.given % self.size);
        self.word(place).store(id, Ordering::Relaxed);
        self.word(place + 4).store(length, Ordering::Relaxed);
        self.given = self.given.wrapping_add(1);
        let index = self.half(self.used + 2);
        index.store(self.given, Ordering::Release);
    }

    /// Wants to be told when there is more.
    fn ask(&self) {
        let event = self.used + 4 + 8 * usize::from(self.size);
        self.half(event).store(self.next, Ordering::Relaxed);
    }
}

impl Transport for Device {
    fn device_type(&self) -> DeviceType {
        DeviceType::Network
    }

    fn read_device_features(&mut self) -> u64 {
        self.offers
    }

    fn write_driver_features(&mut self, features: u64) {
        assert_eq!(features & !self.offers, 0, "what was not offered");
        self.accepted = features;
    }

    fn max_queue_size(&mut self, _: u16) -> u32 {
        1024
    }

    fn notify(&mut self, queue: u16) {
        self.notified[usize::from(queue)] += 1;
    }

    fn get_status(&self) -> DeviceStatus {
        self.status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.status = status;
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, a: PhysAddr, b: PhysAddr, c: PhysAddr) {
        self.queues[usize::from(queue)] = Seen {
            size: size as u16,
            descriptors: a as usize,
            available: b as usize,
            used: c as usize,
            ..Seen::default()
        };
    }

    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.queues[usize::from(queue)].size > 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.interrupts.pop().unwrap_or(InterruptStatus::empty())
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(
        &self,
        offset: usize,
    ) -> virtio_drivers::Result<T> {
        let [low, high] = self.link.to_le_bytes();
        let config = [&MAC[..], &[low, high]].concat();
        let (value, _) = T::read_from_prefix(&config[offset..]).expect("it has as many");
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _: usize,
        _: T,
    ) -> virtio_drivers::Result<()> {
        Ok(())
    }
}

static INTERRUPT: Interrupt = Interrupt::new();

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
    /// Has the device do something with a queue.
    fn device<R>(&self, queue: usize, job: impl FnOnce(&mut Seen) -> R) -> R {
        job(&mut self.shared.borrow_mut().slot.queues[queue])
    }

    /// The device sends a frame, with these flags, in as many buffers as it takes.
    fn arrives(&self, flags: u8, frame: &[u8]) {
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

    /// The next frame that the stack gets.
    fn received(&mut self) -> Option<Vec<u8>> {
        let mut context = Context::from_waker(Waker::noop());
        let (frame, _) = self.receive(&mut context)?;
        Some(frame.consume(|frame| frame.to_vec()))
    }

    fn sends(&mut self, frame: &[u8]) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let Some(token) = self.transmit(&mut context) else {
            return false;
        };
        token.consume(frame.len(), |place| place.copy_from_slice(frame));
        true
    }

    /// What the device finds to send, headers included; it gives the buffers back.
    fn sent(&self) -> Vec<Vec<u8>> {
        self.device(1, |queue| {
            let mut frames = Vec::new();
            while let Some(id) = queue.take() {
                frames.push(queue.buffer(id).to_vec());
                queue.give(id.into(), 0);
            }
            frames
        })
    }
}

fn ring(doorbell: &mut Doorbell<Device>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(doorbell).poll(&mut context).is_pending());
}

/// An Ethernet frame that is no IP, with a pattern.
fn plain(length: usize, seed: u8) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..length)
        .map(|at| (at as u8).wrapping_mul(7).wrapping_add(seed))
        .collect();
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// A segment of TCP over IPv4, whole and with its checksums.
fn segment(sequence: u32, data: usize) -> Vec<u8> {
    let mut frame = vec![0; 54 + data];
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
    frame[16..18].copy_from_slice(&(40 + data as u16).to_be_bytes());
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame[46..48].copy_from_slice(&[0x50, 0x10]);
    for (at, byte) in frame[54..].iter_mut().enumerate() {
        *byte = (sequence as usize + at) as u8;
    }
    let sum = !landfall_offload::checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    landfall_offload::transport::fill(&mut frame);
    frame
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
    for number in 0..20 {
        assert!(card.sends(&segment(1 + 1460 * number, 1460)));
    }
    assert!(card.sends(&segment(1 + 1460 * 20, 7)));
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
    assert_eq!(
        frame[54..],
        (0..20 * 1460 + 7)
            .map(|at| (1 + at) as u8)
            .collect::<Vec<u8>>()
    );
    // NEEDS_CSUM, TCPV4, 54 bytes of headers, segments of 1460, the sum from 34 on, its field 16 behind.
    assert_eq!(header, [1, 1, 54, 0, 0xb4, 0x05, 34, 0, 16, 0, 0, 0]);
    assert_eq!(short[12..], plain(60, 3));
    assert_eq!(short[..12], [0; 12]);
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
