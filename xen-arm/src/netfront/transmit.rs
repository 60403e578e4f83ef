//! Sending: buffers that the backend reads (`io/netif.h`, "Guest transmit").
//!
//! The stack writes frames straight into pages that are granted for reading, once for as long as
//! the connection lasts. A buffer is used again when the backend has answered every slot of its
//! frame.

use super::{Broken, Counters, offload};
use crate::{
    DomainId, Frame,
    grants::{Access, GrantError, GrantTable, SharedPages},
    memory::SharedMemory,
    ring::{FrontRing, Protocol},
};
use alloc::{vec, vec::Vec};
use core::sync::atomic::Ordering;

/// Buffers, at most.
pub(super) const BUFFERS: usize = 64;
/// Slots of one frame that every backend must take (`XEN_NETIF_NR_SLOTS_MIN`).
const MOST_SLOTS: usize = 18;

/// `NETTXF_*`
mod flag {
    pub(super) const CHECKSUM_BLANK: u16 = 1 << 0;
    pub(super) const DATA_VALIDATED: u16 = 1 << 1;
    pub(super) const MORE_DATA: u16 = 1 << 2;
}

/// `struct netif_tx_request`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Request {
    pub(super) reference: u32,
    pub(super) offset: u16,
    pub(super) flags: u16,
    pub(super) id: u16,
    pub(super) size: u16,
}

/// `struct netif_tx_response`
#[derive(Clone, Copy, Debug)]
struct Response {
    id: u16,
    status: i16,
}

#[derive(Debug)]
struct Wire;

impl Protocol for Wire {
    type Request = Request;
    type Response = Response;
    const SLOT: usize = 12;

    fn write(memory: &SharedMemory, offset: usize, request: &Request) {
        memory
            .u32(offset)
            .store(request.reference, Ordering::Relaxed);
        let words = [request.offset, request.flags, request.id, request.size];
        for (index, word) in words.into_iter().enumerate() {
            memory
                .u16(offset + 4 + 2 * index)
                .store(word, Ordering::Relaxed);
        }
    }

    fn read(memory: &SharedMemory, offset: usize) -> Response {
        let word = memory.u32(offset).load(Ordering::Relaxed);
        Response {
            id: word as u16,
            status: ((word >> 16) as u16).cast_signed(),
        }
    }
}

/// How frames lie in pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Layout {
    /// Bytes from one buffer to the next in the same pages.
    stride: usize,
    /// Buffers in one piece of memory.
    together: usize,
    /// Pages of one piece of memory.
    pages: usize,
    /// Buffers in all.
    buffers: usize,
}

impl Layout {
    fn new(longest: usize, ring: usize) -> Self {
        let half = Frame::BYTES / 2;
        if longest <= half {
            return Self {
                stride: half,
                together: 2,
                pages: 1,
                buffers: BUFFERS,
            };
        }
        let pages = longest.div_ceil(Frame::BYTES);
        Self {
            stride: pages * Frame::BYTES,
            together: 1,
            pages,
            // Every slot of every buffer has room in the ring.
            buffers: BUFFERS.min(ring / pages),
        }
    }
}

/// The sending half of a card.
#[derive(Debug)]
pub(super) struct Transmit {
    ring: FrontRing<Wire>,
    ring_grant: SharedPages,
    layout: Layout,
    memory: Vec<SharedPages>,
    /// Of each buffer, the slots that were not answered, as bits.
    unanswered: Vec<u32>,
    free: Vec<u16>,
    longest: usize,
    checksum_offload: bool,
}

impl Transmit {
    /// Makes a ring with buffers for frames of up to `longest` bytes, shared with `backend`.
    pub(super) fn new(
        grants: &GrantTable,
        backend: DomainId,
        longest: usize,
        checksum_offload: bool,
    ) -> Result<Self, GrantError> {
        let (ring, ring_grant) = super::shared_ring(grants, backend)?;
        // The length of a frame is a number of 16 bits, and so many slots are what backends take.
        let longest = longest
            .min(usize::from(u16::MAX))
            .min(MOST_SLOTS * Frame::BYTES);
        let layout = Layout::new(longest, ring.slots() as usize);
        let mut memory = Vec::new();
        for _ in 0..layout.buffers.div_ceil(layout.together) {
            let pages = super::pages(layout.pages)?;
            memory.push(grants.share(pages, backend, Access::ReadOnly)?);
        }
        Ok(Self {
            ring,
            ring_grant,
            layout,
            memory,
            unanswered: vec![0; layout.buffers],
            free: (0..layout.buffers as u16).rev().collect(),
            longest,
            checksum_offload,
        })
    }

    /// Returns the grant of the ring's page.
    pub(super) fn ring_reference(&self) -> u32 {
        self.ring_grant.reference(0).0
    }

    /// Takes back the buffers that the backend is done with, where none is free; returns whether
    /// one is.
    ///
    /// # Errors
    /// [`Broken`]: the backend broke the protocol.
    pub(super) fn make_room(&mut self, counters: &mut Counters) -> Result<bool, Broken> {
        if self.free.is_empty() {
            self.reclaim(counters)?;
        }
        Ok(!self.free.is_empty())
    }

    fn reclaim(&mut self, counters: &mut Counters) -> Result<(), Broken> {
        for _ in 0..self.ring.responses()? {
            let (_, Response { id, status }) = self.ring.peek(0);
            self.ring.consume(1);
            let (buffer, slot) = (usize::from(id) / MOST_SLOTS, usize::from(id) % MOST_SLOTS);
            let unanswered = self.unanswered.get_mut(buffer).ok_or(Broken::Id(id))?;
            if *unanswered & 1 << slot == 0 {
                return Err(Broken::Id(id));
            }
            *unanswered &= !(1 << slot);
            if *unanswered == 0 {
                self.free.push(buffer as u16);
            }
            if status < 0 {
                counters.tx_errors += 1;
            }
        }
        Ok(())
    }

    /// Asks for a notification when the backend has answered all but a few slots' worth of what it
    /// has: a sender that waits for room is woken once for many frames. Returns whether there are
    /// answers already.
    pub(super) fn ask_for_event(&mut self) -> bool {
        let outstanding = self.ring.slots() - self.ring.room();
        self.ring.ask_for_event((outstanding / 2).max(1))
    }

    /// Sends a frame of `length` bytes that `write` writes. The caller has asked
    /// [`Self::make_room`]; a frame that is too long is written nowhere near the ring and counted.
    pub(super) fn send<R>(
        &mut self,
        length: usize,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let Some(buffer) = self.free.pop_if(|_| length <= self.longest) else {
            counters.tx_errors += 1;
            return write(&mut vec![0; length]);
        };
        let piece = usize::from(buffer) / self.layout.together;
        let start = usize::from(buffer) % self.layout.together * self.layout.stride;
        // SAFETY: 1. Shared for reading only, in `new`.
        let bytes = unsafe { self.memory[piece].private_bytes() };
        let frame = &mut bytes[start..start + length];
        let result = write(frame);
        let mut flags = 0;
        if !self.checksum_offload {
            offload::fill(frame);
        } else if offload::leave_blank(frame) {
            flags = flag::CHECKSUM_BLANK | flag::DATA_VALIDATED;
        }
        self.push(buffer, piece, start, length, flags);
        counters.tx_frames += 1;
        result
    }

    /// Adds the requests of a frame: one for each page that it touches. The first has the size of
    /// the whole frame, the others those of their parts.
    fn push(&mut self, buffer: u16, piece: usize, start: usize, length: usize, flags: u16) {
        let end = start + length;
        let (mut at, mut slot) = (start, 0);
        while at < end || slot == 0 {
            let page = at / Frame::BYTES;
            let part_end = end.min((page + 1) * Frame::BYTES);
            let more = if part_end < end { flag::MORE_DATA } else { 0 };
            let (flags, size) = match slot {
                0 => (flags, length),
                _ => (0, part_end - at),
            };
            self.ring.push(&Request {
                reference: self.memory[piece].reference(page).0,
                offset: (at % Frame::BYTES) as u16,
                flags: flags | more,
                id: buffer * MOST_SLOTS as u16 + slot,
                size: size as u16,
            });
            self.unanswered[usize::from(buffer)] |= 1 << slot;
            (at, slot) = (part_end, slot + 1);
        }
        self.ring.publish();
    }

    /// Returns whether the backend wants to know of the frames that were sent.
    pub(super) fn must_notify(&mut self) -> bool {
        self.ring.must_notify()
    }
}

#[cfg(any(test, not(target_os = "none")))]
impl Transmit {
    /// The backend's way to the ring, and to pages by their references.
    pub(super) fn peer(&self) -> (SharedMemory, Vec<(u32, SharedMemory)>) {
        use crate::ring::peer::{view, view_page};
        let mut pages = Vec::new();
        for shared in &self.memory {
            for number in 0..shared.pages() {
                pages.push((shared.reference(number).0, view_page(shared, number)));
            }
        }
        (view(self.ring.memory()), pages)
    }

    /// See [`FrontRing::age`].
    pub(super) fn age(&mut self, rounds: u32) {
        self.ring.age(rounds);
    }
}
