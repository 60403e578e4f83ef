//! Sending: buffers that the backend reads (`io/netif.h`, "Guest transmit").
//!
//! The stack writes frames straight into pages that are granted for reading, once for as long as
//! the connection lasts. A buffer is used again when the backend has answered every slot of its
//! frame. Frames that the backend cuts into segments have long buffers.

use super::{Broken, Counters, features::Cut};
use crate::{
    DomainId, Frame,
    grants::{Access, GrantError, GrantTable, SharedPages},
    memory::SharedMemory,
    ring::{FrontRing, Protocol},
};
use alloc::{vec, vec::Vec};
use core::sync::atomic::Ordering;
use landfall_offload::{
    segmentation::{IpVersion, LONGEST, LargeFrame},
    transport,
};

/// Bytes of a slot.
pub(super) const SLOT: usize = 12;
/// Buffers, at most.
pub(super) const BUFFERS: usize = 64;
/// Slots of one frame that every backend must take (`XEN_NETIF_NR_SLOTS_MIN`).
const MOST_SLOTS: usize = 18;

/// `NETTXF_*`
mod flag {
    pub(super) const CHECKSUM_BLANK: u16 = 1 << 0;
    pub(super) const DATA_VALIDATED: u16 = 1 << 1;
    pub(super) const MORE_DATA: u16 = 1 << 2;
    pub(super) const EXTRA_INFO: u16 = 1 << 3;
}

/// `NETIF_RSP_NULL`: what answers a slot that was an extra info. Its number means nothing.
const NO_RESPONSE: i16 = 1;
/// Pages of a long buffer.
const LONG_PAGES: usize = LONGEST.div_ceil(Frame::BYTES);

/// What a slot holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Slot {
    Request(Request),
    /// `struct netif_extra_info` of type `XEN_NETIF_EXTRA_TYPE_GSO`: segments of TCP over this IP with
    /// so many bytes of data.
    SegmentSize(u16, IpVersion),
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
    type Request = Slot;
    type Response = Response;
    const SLOT: usize = SLOT;

    fn write(memory: &SharedMemory, offset: usize, slot: &Slot) {
        let words = match *slot {
            Slot::Request(request) => [
                request.reference,
                u32::from(request.offset) | u32::from(request.flags) << 16,
                u32::from(request.id) | u32::from(request.size) << 16,
            ],
            Slot::SegmentSize(size, version) => {
                /// `XEN_NETIF_EXTRA_TYPE_GSO`, and no further extra info.
                const TYPE: u32 = 1;
                // `XEN_NETIF_GSO_TYPE_TCPV4` and `XEN_NETIF_GSO_TYPE_TCPV6`.
                let kind = match version {
                    IpVersion::V4 => 1,
                    IpVersion::V6 => 2,
                };
                [TYPE | u32::from(size) << 16, kind, 0]
            }
        };
        for (index, word) in words.into_iter().enumerate() {
            memory
                .u32(offset + 4 * index)
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
    cut: Cut,
    long: Long,
}

/// Buffers for frames that the backend cuts. Each is made when it is first wanted.
#[derive(Debug)]
struct Long {
    grants: GrantTable,
    backend: DomainId,
    /// How many more may be made.
    wanted: usize,
    free: Vec<u16>,
    /// Slots with extra infos that were not answered.
    extras: u32,
}

impl Transmit {
    /// Makes a ring with buffers for frames of up to `longest` bytes, shared with `backend`, to which
    /// `cut` leaves what it may.
    pub(super) fn new(
        grants: &GrantTable,
        backend: DomainId,
        longest: usize,
        cut: Cut,
    ) -> Result<Self, GrantError> {
        let (ring, ring_grant) = super::shared_ring(grants, backend)?;
        // The length of a frame is a number of 16 bits, and so many slots are what backends take.
        let longest = longest.min(LONGEST).min(MOST_SLOTS * Frame::BYTES);
        let layout = Layout::new(longest, ring.slots() as usize);
        let mut memory = Vec::new();
        for _ in 0..layout.buffers.div_ceil(layout.together) {
            let pages = super::pages(layout.pages)?;
            memory.push(grants.share(pages, backend, Access::ReadOnly)?);
        }
        // Every slot of every buffer has room in the ring, an extra info of each long one too.
        let room = ring.slots() as usize - layout.buffers * layout.pages;
        Ok(Self {
            ring,
            ring_grant,
            layout,
            memory,
            unanswered: vec![0; layout.buffers],
            free: (0..layout.buffers as u16).rev().collect(),
            longest,
            cut,
            long: Long {
                grants: grants.clone(),
                backend,
                wanted: cut.long_frames.min(room / (LONG_PAGES + 1)),
                free: Vec::new(),
                extras: 0,
            },
        })
    }

    /// Returns the grant of the ring's page.
    pub(super) fn ring_reference(&self) -> u32 {
        self.ring_grant.reference(0).0
    }

    /// Returns whether the backend cuts segments of this kind.
    pub(super) fn segments(&self, version: IpVersion) -> bool {
        let some = self.long.wanted > 0 || self.unanswered.len() > self.layout.buffers;
        some && match version {
            IpVersion::V4 => self.cut.ipv4,
            IpVersion::V6 => self.cut.ipv6,
        }
    }

    /// Takes back the buffers that the backend is done with, where none is left; returns whether
    /// there is one for a frame.
    ///
    /// # Errors
    /// [`Broken`]: the backend broke the protocol.
    pub(super) fn make_room(&mut self, counters: &mut Counters) -> Result<bool, Broken> {
        if self.free.is_empty() {
            self.reclaim(counters)?;
        }
        Ok(!self.free.is_empty())
    }

    /// The same for a frame that the backend cuts.
    ///
    /// # Errors
    /// [`Broken`]: the backend broke the protocol.
    pub(super) fn make_long_room(&mut self, counters: &mut Counters) -> Result<bool, Broken> {
        if self.long.free.is_empty() {
            self.reclaim(counters)?;
        }
        if self.long.free.is_empty() && self.long.wanted > 0 {
            self.make_long_buffer();
        }
        Ok(!self.long.free.is_empty())
    }

    fn reclaim(&mut self, counters: &mut Counters) -> Result<(), Broken> {
        for _ in 0..self.ring.responses()? {
            let (_, Response { id, status }) = self.ring.peek(0);
            self.ring.consume(1);
            if status == NO_RESPONSE {
                self.long.extras = self.long.extras.checked_sub(1).ok_or(Broken::Id(id))?;
                continue;
            }
            let (buffer, slot) = (usize::from(id) / MOST_SLOTS, usize::from(id) % MOST_SLOTS);
            let unanswered = self.unanswered.get_mut(buffer).ok_or(Broken::Id(id))?;
            if *unanswered & 1 << slot == 0 {
                return Err(Broken::Id(id));
            }
            *unanswered &= !(1 << slot);
            if *unanswered == 0 {
                let long = buffer >= self.layout.buffers;
                let free = if long {
                    &mut self.long.free
                } else {
                    &mut self.free
                };
                free.push(buffer as u16);
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
    /// [`Self::make_room`]; a frame that is too long is counted.
    pub(super) fn send<R>(
        &mut self,
        length: usize,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let longest = self.longest;
        let Some(buffer) = self.free.pop_if(|_| length <= longest) else {
            counters.tx_errors += 1;
            return write(&mut vec![0; length]);
        };
        counters.tx_frames += 1;
        let result = write(&mut self.bytes(buffer)[..length]);
        self.push(buffer, length, None);
        result
    }

    /// The same for a frame that the backend cuts; the caller has asked [`Self::make_long_room`].
    pub(super) fn send_large(
        &mut self,
        large: LargeFrame,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]),
    ) {
        let Some(buffer) = self.long.free.pop_if(|_| large.length <= LONGEST) else {
            return self.send(large.length, counters, write);
        };
        counters.tx_frames += 1;
        write(&mut self.bytes(buffer)[..large.length]);
        self.push(buffer, large.length, Some(large));
    }

    /// Makes one more, if there is memory for it.
    fn make_long_buffer(&mut self) {
        self.long.wanted -= 1;
        let long = &self.long;
        let shared = super::pages(LONG_PAGES)
            .and_then(|pages| long.grants.share(pages, long.backend, Access::ReadOnly));
        let Ok(shared) = shared else {
            // There is no memory for more.
            self.long.wanted = 0;
            return;
        };
        self.memory.push(shared);
        self.long.free.push(self.unanswered.len() as u16);
        self.unanswered.push(0);
    }

    /// Returns in which memory a buffer is, and where it begins there.
    fn place(&self, buffer: u16) -> (usize, usize) {
        let number = usize::from(buffer);
        match number.checked_sub(self.layout.buffers) {
            Some(long) => (self.layout.buffers.div_ceil(self.layout.together) + long, 0),
            None => (
                number / self.layout.together,
                number % self.layout.together * self.layout.stride,
            ),
        }
    }

    /// Returns the bytes of a buffer, from its start to the end of its memory.
    fn bytes(&mut self, buffer: u16) -> &mut [u8] {
        let (piece, start) = self.place(buffer);
        // SAFETY: 1. Shared for reading only, in `new` and `make_long_buffer`.
        let bytes = unsafe { self.memory[piece].private_bytes() };
        &mut bytes[start..]
    }

    /// Adds the requests of the frame of `length` bytes in `buffer`: one for each page that it touches.
    /// The first has the size of the whole frame, the others those of their parts. `large` says how the
    /// frame is to be cut.
    fn push(&mut self, buffer: u16, length: usize, large: Option<LargeFrame>) {
        let cut = self.cut;
        let frame = &mut self.bytes(buffer)[..length];
        let mut flags = 0;
        if !cut.checksums {
            transport::fill(frame);
        } else if transport::leave_blank(frame, cut.ipv6_checksums).is_some() {
            flags = flag::CHECKSUM_BLANK | flag::DATA_VALIDATED;
        }
        if large.is_some() {
            flags |= flag::EXTRA_INFO;
        }
        let (piece, start) = self.place(buffer);
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
            self.ring.push(&Slot::Request(Request {
                reference: self.memory[piece].reference(page).0,
                offset: (at % Frame::BYTES) as u16,
                flags: flags | more,
                id: buffer * MOST_SLOTS as u16 + slot,
                size: size as u16,
            }));
            if let Some(large) = large.filter(|_| slot == 0) {
                self.ring.push(&Slot::SegmentSize(large.mss, large.version));
                self.long.extras += 1;
            }
            self.unanswered[usize::from(buffer)] |= 1 << slot;
            (at, slot) = (part_end, slot + 1);
        }
        self.ring.publish();
    }

    /// Returns whether the backend wants to know of the frames.
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
