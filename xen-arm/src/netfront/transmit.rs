//! Sending: buffers that the backend reads (`io/netif.h`, "Guest transmit").
//!
//! The stack writes frames straight into pages that are granted for reading, once for as long as
//! the connection lasts. A buffer is used again when the backend has answered every slot of its
//! frame. TCP segments that follow each other become one frame in a long buffer ([`Train`]); it
//! goes when the next frame does not belong to it, or when the backend is to be told.

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
    train::{LONGEST, Outlet, Train},
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
    /// `struct netif_extra_info` of type `XEN_NETIF_EXTRA_TYPE_GSO`: segments of TCP over IPv4 with
    /// so many bytes of data.
    SegmentSize(u16),
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
            Slot::SegmentSize(size) => {
                /// `XEN_NETIF_EXTRA_TYPE_GSO`, and no further extra info.
                const TYPE: u32 = 1;
                /// `XEN_NETIF_GSO_TYPE_TCPV4`
                const TCP_IPV4: u32 = 1;
                [TYPE | u32::from(size) << 16, TCP_IPV4, 0]
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
    checksum_offload: bool,
    long: Long,
}

/// Buffers for frames that segments are put together to. Each is made when it is first wanted.
#[derive(Debug)]
struct Long {
    grants: GrantTable,
    backend: DomainId,
    /// How many more may be made.
    wanted: usize,
    free: Vec<u16>,
    /// The frame that is not in the ring yet, and its buffer.
    growing: Option<(u16, Train)>,
    /// Slots with extra infos that were not answered.
    extras: u32,
}

impl Long {
    /// Returns whether all that there may be are on their way.
    fn is_used_up(&self) -> bool {
        self.free.is_empty() && self.wanted == 0
    }
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
            checksum_offload: cut.checksums,
            long: Long {
                grants: grants.clone(),
                backend,
                wanted: cut.long_frames.min(room / (LONG_PAGES + 1)),
                free: Vec::new(),
                growing: None,
                extras: 0,
            },
        })
    }

    /// Returns the grant of the ring's page.
    pub(super) fn ring_reference(&self) -> u32 {
        self.ring_grant.reference(0).0
    }

    /// Takes back the buffers that the backend is done with, where some are missing; returns whether
    /// there is one for a frame.
    ///
    /// # Errors
    /// [`Broken`]: the backend broke the protocol.
    pub(super) fn make_room(&mut self, counters: &mut Counters) -> Result<bool, Broken> {
        if self.free.is_empty() || self.waits_for_long() {
            self.reclaim(counters)?;
        }
        Ok(!self.free.is_empty())
    }

    /// The same for what may become a long frame: while all long buffers are on their way it waits for
    /// one, for short frames would be a detour.
    ///
    /// # Errors
    /// [`Broken`]: the backend broke the protocol.
    pub(super) fn make_long_room(&mut self, counters: &mut Counters) -> Result<bool, Broken> {
        Ok(self.make_room(counters)? && !self.waits_for_long())
    }

    /// Returns whether long buffers are all on their way.
    fn waits_for_long(&self) -> bool {
        let some = self.unanswered.len() > self.layout.buffers;
        some && self.long.is_used_up() && self.long.growing.is_none()
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
    /// [`Self::make_room`]; a frame that is too long is counted. It may stay here until [`Self::must_notify`].
    pub(super) fn send<R>(
        &mut self,
        length: usize,
        counters: &mut Counters,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let transmit = self;
        Sending { transmit, counters }.send(length, write)
    }

    fn make_long_buffer(&mut self) -> Option<u16> {
        self.long.wanted -= 1;
        let long = &self.long;
        let shared = super::pages(LONG_PAGES)
            .and_then(|pages| long.grants.share(pages, long.backend, Access::ReadOnly));
        let Ok(shared) = shared else {
            // There is no memory for more.
            self.long.wanted = 0;
            return None;
        };
        self.memory.push(shared);
        self.unanswered.push(0);
        Some(self.unanswered.len() as u16 - 1)
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
    /// The first has the size of the whole frame, the others those of their parts. With `mss`, the
    /// frame is to be cut into segments with so many bytes of data.
    fn push(&mut self, buffer: u16, length: usize, mss: Option<u16>) {
        let checksum_offload = self.checksum_offload;
        let frame = &mut self.bytes(buffer)[..length];
        let mut flags = 0;
        if !checksum_offload {
            transport::fill(frame);
        } else if transport::leave_blank(frame, false).is_some() {
            flags = flag::CHECKSUM_BLANK | flag::DATA_VALIDATED;
        }
        if mss.is_some() {
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
            if let Some(mss) = mss.filter(|_| slot == 0) {
                self.ring.push(&Slot::SegmentSize(mss));
                self.long.extras += 1;
            }
            self.unanswered[usize::from(buffer)] |= 1 << slot;
            (at, slot) = (part_end, slot + 1);
        }
        self.ring.publish();
    }

    /// Lets all frames go; returns whether the backend wants to know of them.
    pub(super) fn must_notify(&mut self) -> bool {
        let (transmit, counters) = (&mut *self, &mut Counters::default());
        Sending { transmit, counters }.flush();
        self.ring.must_notify()
    }
}

/// Frames on their way into the ring.
struct Sending<'a> {
    transmit: &'a mut Transmit,
    counters: &'a mut Counters,
}

impl Outlet for Sending<'_> {
    fn takes_ipv6(&self) -> bool {
        false
    }

    fn growing(&mut self) -> &mut Option<(u16, Train)> {
        &mut self.transmit.long.growing
    }

    /// A full segment may begin a train.
    fn long_buffer(&mut self, length: usize) -> Option<u16> {
        let longest = self.transmit.longest;
        if length <= longest / 2 || length > longest || self.transmit.long.is_used_up() {
            return None;
        }
        let free = self.transmit.long.free.pop();
        free.or_else(|| self.transmit.make_long_buffer())
    }

    fn short_buffer(&mut self, length: usize) -> Option<u16> {
        let longest = self.transmit.longest;
        self.transmit.free.pop_if(|_| length <= longest)
    }

    fn bytes(&mut self, buffer: u16) -> &mut [u8] {
        self.transmit.bytes(buffer)
    }

    fn push(&mut self, buffer: u16, length: usize, train: Option<&Train>) {
        self.transmit.push(buffer, length, train.map(|it| it.mss));
    }

    fn count(&mut self, written: bool) {
        match written {
            true => self.counters.tx_frames += 1,
            false => self.counters.tx_errors += 1,
        }
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
