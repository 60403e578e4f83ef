//! Sending: buffers that the stack writes and the device reads (virtio 1.2, 5.1.6.2).
//!
//! Each has a descriptor of its own. Some are long, for frames that the device cuts into segments.

use super::{Agreed, STRIDE, feature};
use crate::virtio::{memory, queue::Queue};
use alloc::{vec, vec::Vec};
use core::ptr::NonNull;
use landfall_offload::{
    segmentation::{IpVersion, LONGEST, LargeFrame},
    transport,
};
use virtio_drivers::{Error, transport::Transport};

/// The queue (5.1.2, `transmitq1`).
const QUEUE: u16 = 1;
/// Descriptors.
const DESCRIPTORS: usize = 128;
/// Buffers for single frames; the rest are long ones.
const SHORT: usize = 64;
/// The longest header (5.1.6).
const LONGEST_HEADER: usize = 12;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`, `VIRTIO_NET_HDR_GSO_TCPV6`
const TCP_IPV4: u8 = 1;
const TCP_IPV6: u8 = 4;

/// The sending half of a card.
pub(super) struct Transmit {
    queue: Queue<DESCRIPTORS>,
    /// All short buffers.
    short: NonNull<[u8]>,
    long: Vec<NonNull<[u8]>>,
    free_short: Vec<u16>,
    free_long: Vec<u16>,
    /// Which buffers the device has, as bits.
    lent: u128,
    agreed: Agreed,
    /// Frames for which there was no buffer.
    dropped: u64,
}

impl Transmit {
    /// Makes the queue and buffers, of which `long_frames` are long, if the device takes long frames.
    pub(super) fn new(
        slot: &mut impl Transport,
        agreed: Agreed,
        long_frames: usize,
    ) -> Result<Self, Error> {
        let queue = Queue::new(slot, QUEUE, agreed.has(feature::EVENT_IDX))?;
        let lead = agreed.lead();
        let short = memory::bytes(SHORT * STRIDE, lead)?;
        let cuts = agreed.has(feature::HOST_TSO4) || agreed.has(feature::HOST_TSO6);
        let long_frames = long_frames.min(DESCRIPTORS - SHORT);
        let long = 0..if cuts { long_frames } else { 0 };
        let long = long.map(|_| memory::bytes(LONGEST_HEADER + LONGEST, lead));
        let long = long.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            queue,
            short,
            free_long: (SHORT..SHORT + long.len()).map(|id| id as u16).collect(),
            long,
            free_short: (0..SHORT as u16).rev().collect(),
            lent: 0,
            agreed,
            dropped: 0,
        })
    }

    /// Returns whether the device cuts segments of this kind.
    pub(super) fn segments(&self, version: IpVersion) -> bool {
        let feature = match version {
            IpVersion::V4 => feature::HOST_TSO4,
            IpVersion::V6 => feature::HOST_TSO6,
        };
        !self.long.is_empty() && self.agreed.has(feature)
    }

    /// Returns whether there is a buffer for a frame.
    pub(super) fn has_room(&mut self) -> bool {
        if self.free_short.is_empty() {
            self.reclaim();
        }
        !self.free_short.is_empty()
    }

    /// The same for one that the device cuts.
    pub(super) fn has_long_room(&mut self) -> bool {
        if self.free_long.is_empty() {
            self.reclaim();
        }
        !self.free_long.is_empty()
    }

    /// Takes back the buffers that the device is done with.
    fn reclaim(&mut self) {
        while let Some((id, _)) = self.queue.pop() {
            // What was not lent is nothing.
            if id >= DESCRIPTORS as u32 || self.lent & 1 << id == 0 {
                continue;
            }
            self.lent &= !(1 << id);
            match (id as usize) < SHORT {
                true => self.free_short.push(id as u16),
                false => self.free_long.push(id as u16),
            }
        }
    }

    /// Asks for an interrupt when half of what the device has is sent: who waits for room is woken once for many frames.
    pub(super) fn ask_for_event(&mut self) {
        let lent = self.lent.count_ones() as u16;
        self.queue.ask_for_event(lent / 2);
    }

    /// Returns whether something is sent.
    pub(super) fn look_again(&self) -> bool {
        self.queue.has_used()
    }

    /// Tells the device of what there is to send.
    pub(super) fn notify(&mut self, slot: &mut impl Transport) {
        self.queue.notify_anyway(slot);
    }

    /// The memory of a buffer, header and frame.
    fn buffer(&mut self, id: u16) -> &mut [u8] {
        let id = usize::from(id);
        let mut pointer = match id.checked_sub(SHORT) {
            Some(long) => self.long[long],
            None => {
                // SAFETY: There are so many.
                let start = unsafe { self.short.cast::<u8>().add(id * STRIDE) };
                NonNull::slice_from_raw_parts(start, STRIDE)
            }
        };
        // SAFETY: Initialised, never given back, and this value's own: the device only reads, and only buffers that are
        // lent, which nobody writes to.
        unsafe { pointer.as_mut() }
    }

    /// Sends a frame of `length` bytes that `write` writes. The caller has asked [`Self::has_room`]; a frame that is too long
    /// is dropped and counted.
    pub(super) fn send<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let fits = length <= STRIDE - LONGEST_HEADER;
        let Some(buffer) = self.free_short.pop_if(|_| fits) else {
            self.dropped += 1;
            log::debug!("dropped {} frames to send", self.dropped);
            return write(&mut vec![0; length]);
        };
        let result = write(self.frame(buffer, length));
        self.push(buffer, length, None);
        result
    }

    /// The same for a frame that the device cuts; the caller has asked [`Self::has_long_room`].
    pub(super) fn send_large(&mut self, large: LargeFrame, write: impl FnOnce(&mut [u8])) {
        let fits = large.length <= LONGEST;
        let Some(buffer) = self.free_long.pop_if(|_| fits) else {
            return self.send(large.length, write);
        };
        write(self.frame(buffer, large.length));
        self.push(buffer, large.length, Some(large));
    }

    /// The bytes of a frame in a buffer.
    fn frame(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        let header = self.agreed.header();
        &mut self.buffer(buffer)[header..header + length]
    }

    /// Hands a frame over to the device; `large` says how it is to be cut.
    fn push(&mut self, buffer: u16, length: usize, large: Option<LargeFrame>) {
        let (header, leaves_checksums) = (self.agreed.header(), self.agreed.has(feature::CSUM));
        let (head, frame) = self.buffer(buffer).split_at_mut(header);
        let frame = &mut frame[..length];
        head.fill(0);
        if !leaves_checksums {
            transport::fill(frame);
        } else if let Some(blank) = transport::leave_blank(frame, true) {
            head[0] = NEEDS_CHECKSUM;
            head[6..8].copy_from_slice(&(blank.start as u16).to_le_bytes());
            head[8..10].copy_from_slice(&(blank.field as u16).to_le_bytes());
        }
        if let Some(large) = large {
            head[1] = match large.version {
                IpVersion::V4 => TCP_IPV4,
                IpVersion::V6 => TCP_IPV6,
            };
            head[2..4].copy_from_slice(&(large.headers as u16).to_le_bytes());
            head[4..6].copy_from_slice(&large.mss.to_le_bytes());
        }
        let address = self.buffer(buffer).as_ptr().addr();
        self.queue.describe(buffer, address, header + length, false);
        self.queue.lend(buffer);
        self.lent |= 1 << buffer;
    }
}
