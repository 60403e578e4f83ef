//! A device of this crate's own, for tests and fuzzers on hosts: its end of the queues, and frames to send.
//!
//! It knows the rings from the specification (virtio 1.2, 2.7), not from the driver.

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use embassy_net_driver::{RxToken as _, TxToken as _};
use virtio_drivers::PhysAddr;
use virtio_drivers::transport::DeviceType;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What QEMU's device offers.
pub(super) const ALL: u64 = feature::CSUM
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
pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

/// A queue as the device sees it.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) size: u16,
    descriptors: usize,
    available: usize,
    pub(super) used: usize,
    /// How far it has read.
    pub(super) next: u16,
    /// How far it has written.
    pub(super) given: u16,
}

/// A device.
#[derive(Default)]
pub(super) struct Device {
    pub(super) offers: u64,
    pub(super) accepted: u64,
    pub(super) status: DeviceStatus,
    pub(super) queues: [Seen; 2],
    pub(super) notified: [usize; 2],
    pub(super) link: u16,
    /// The most descriptors that it says its queues have; 0 for as many as the driver wants.
    pub(super) longest_queue: u32,
    /// What it has to say, one after the other.
    pub(super) interrupts: Vec<InterruptStatus>,
}

impl Seen {
    // SAFETY (of all three): The driver gives its rings to the device for good, and both use them as atomic numbers.
    pub(super) fn half(&self, address: usize) -> &AtomicU16 {
        // SAFETY: As above.
        unsafe { &*(address as *const AtomicU16) }
    }

    pub(super) fn word(&self, address: usize) -> &AtomicU32 {
        // SAFETY: As above.
        unsafe { &*(address as *const AtomicU32) }
    }

    /// The buffer of a descriptor.
    pub(super) fn buffer(&mut self, id: u16) -> &mut [u8] {
        let at = self.descriptors + 16 * usize::from(id % self.size);
        let low = self.word(at).load(Ordering::Relaxed) as usize;
        let high = self.word(at + 4).load(Ordering::Relaxed) as usize;
        let length = self.word(at + 8).load(Ordering::Relaxed) as usize;
        // SAFETY: The driver has lent it, and does not touch it until it is given back.
        unsafe { core::slice::from_raw_parts_mut((high << 32 | low) as *mut u8, length) }
    }

    /// The next buffer that was lent.
    pub(super) fn take(&mut self) -> Option<u16> {
        let index = self.half(self.available + 2).load(Ordering::Acquire);
        if index == self.next {
            return None;
        }
        let place = self.available + 4 + 2 * usize::from(self.next % self.size);
        self.next = self.next.wrapping_add(1);
        Some(self.half(place).load(Ordering::Relaxed))
    }

    /// Gives a buffer back, as it says.
    pub(super) fn give(&mut self, id: u32, length: u32) {
        let place = self.used + 4 + 8 * usize::from(self.given % self.size);
        self.word(place).store(id, Ordering::Relaxed);
        self.word(place + 4).store(length, Ordering::Relaxed);
        self.given = self.given.wrapping_add(1);
        let index = self.half(self.used + 2);
        index.store(self.given, Ordering::Release);
    }

    /// Wants to be told when there is more.
    pub(super) fn ask(&self) {
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
        match self.longest_queue {
            0 => 1024,
            size => size,
        }
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

pub(super) static INTERRUPT: Interrupt = Interrupt::new();

impl VirtioNet<Device> {
    /// Has the device do something with a queue.
    pub(super) fn device<R>(&self, queue: usize, job: impl FnOnce(&mut Seen) -> R) -> R {
        job(&mut self.shared.borrow_mut().slot.queues[queue])
    }

    /// The next frame that the stack gets.
    pub(super) fn received(&mut self) -> Option<Vec<u8>> {
        let mut context = Context::from_waker(Waker::noop());
        let (frame, _) = self.receive(&mut context)?;
        Some(frame.consume(|frame| frame.to_vec()))
    }

    pub(super) fn sends(&mut self, frame: &[u8]) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let Some(token) = self.transmit(&mut context) else {
            return false;
        };
        token.consume(frame.len(), |place| place.copy_from_slice(frame));
        true
    }

    /// Sends a frame of two segments or more, of `data` bytes in all, that the device is to cut.
    pub(super) fn sends_segments(&mut self, sequence: u32, data: usize, mss: u16) -> bool {
        let frame = segment(sequence, data);
        let large = LargeFrame {
            length: frame.len(),
            headers: 54,
            mss,
            version: IpVersion::V4,
        };
        let mut context = Context::from_waker(Waker::noop());
        self.segments(IpVersion::V4)
            && self.send_large(&mut context, large, |place| place.copy_from_slice(&frame))
    }

    /// What the device finds to send, headers included; it gives the buffers back.
    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
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

pub(super) fn ring(doorbell: &mut Doorbell<Device>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(doorbell).poll(&mut context).is_pending());
}

/// An Ethernet frame that is no IP, with a pattern.
pub(super) fn plain(length: usize, seed: u8) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..length)
        .map(|at| (at as u8).wrapping_mul(7).wrapping_add(seed))
        .collect();
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// A segment of TCP over IPv4, whole and with its checksums.
pub(super) fn segment(sequence: u32, data: usize) -> Vec<u8> {
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
