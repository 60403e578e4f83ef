//! Receiving: pages that the backend copies frames into (`io/netif.h`, "Guest receive").
//!
//! The pages stay granted for as long as the connection lasts, so the backend can write them at any
//! time. A frame is therefore copied out, once, into a buffer of this domain's own; what is in that
//! buffer is looked at, and the page goes straight back to the backend.

use super::{Broken, Counters};
use crate::{
    DomainId,
    grants::{Access, GrantError, GrantTable, SharedPages},
    memory::SharedMemory,
    ring::{FrontRing, Protocol},
};
use alloc::{boxed::Box, vec, vec::Vec};
use core::sync::atomic::Ordering;
use landfall_offload::transport;

/// Bytes of a slot.
pub(super) const SLOT: usize = 8;
/// Pages that the backend has, at most.
pub(super) const PAGES: usize = 64;

/// `NETRXF_*`
mod flag {
    pub(super) const DATA_VALIDATED: u16 = 1 << 0;
    pub(super) const CHECKSUM_BLANK: u16 = 1 << 1;
    pub(super) const MORE_DATA: u16 = 1 << 2;
    pub(super) const EXTRA_INFO: u16 = 1 << 3;
    /// `XEN_NETIF_EXTRA_FLAG_MORE`, in the second byte of an extra info.
    pub(super) const MORE_EXTRA: u8 = 1 << 0;
}

/// `struct netif_rx_request`
#[derive(Debug)]
struct Request {
    id: u16,
    reference: u32,
}

/// `struct netif_rx_response`, or the `struct netif_extra_info` in its place.
#[derive(Clone, Copy, Debug)]
struct Response([u8; 8]);

impl Response {
    fn word(self, index: usize) -> u16 {
        u16::from_le_bytes([self.0[2 * index], self.0[2 * index + 1]])
    }
}

#[derive(Debug)]
struct Wire;

impl Protocol for Wire {
    type Request = Request;
    type Response = Response;
    const SLOT: usize = SLOT;

    fn write(memory: &SharedMemory, offset: usize, request: &Request) {
        memory.u16(offset).store(request.id, Ordering::Relaxed);
        memory.u16(offset + 2).store(0, Ordering::Relaxed);
        memory
            .u32(offset + 4)
            .store(request.reference, Ordering::Relaxed);
    }

    fn read(memory: &SharedMemory, offset: usize) -> Response {
        Response(memory.u64(offset).load(Ordering::Relaxed).to_le_bytes())
    }
}

/// A frame on its way through several slots.
#[derive(Clone, Copy, Debug, Default)]
struct Assembly {
    next: Next,
    length: usize,
    flags: u16,
    /// Something was wrong with it.
    spoilt: bool,
    /// Data follows after the extra infos.
    more_data: bool,
}

/// What the next response is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Next {
    #[default]
    Frame,
    Extra,
    Data,
}

/// The receiving half of a card.
#[derive(Debug)]
pub(super) struct Receive {
    ring: FrontRing<Wire>,
    ring_grant: SharedPages,
    pages: Vec<SharedPages>,
    /// Which page a slot's request was for.
    slots: Box<[u8]>,
    assembly: Assembly,
    /// Frames are put together here.
    buffer: Box<[u8]>,
}

impl Receive {
    /// Makes a ring with buffers for frames of up to `longest` bytes, shared with `backend`.
    pub(super) fn new(
        grants: &GrantTable,
        backend: DomainId,
        longest: usize,
    ) -> Result<Self, GrantError> {
        let (ring, ring_grant) = super::shared_ring(grants, backend)?;
        let mut this = Self {
            slots: vec![0; ring.slots() as usize].into_boxed_slice(),
            ring,
            ring_grant,
            pages: Vec::with_capacity(PAGES),
            assembly: Assembly::default(),
            buffer: vec![0; longest].into_boxed_slice(),
        };
        for number in 0..PAGES {
            let page = super::pages(1)?;
            this.pages
                .push(grants.share(page, backend, Access::ReadWrite)?);
            this.lend(number as u8);
        }
        this.ring.publish();
        Ok(this)
    }

    /// Returns the grant of the ring's page.
    pub(super) fn ring_reference(&self) -> u32 {
        self.ring_grant.reference(0).0
    }

    fn lend(&mut self, number: u8) {
        self.slots[self.ring.next_slot() as usize] = number;
        self.ring.push(&Request {
            id: number.into(),
            reference: self.pages[usize::from(number)].reference(0).0,
        });
    }

    /// Takes the next whole frame; its bytes are what [`Self::take_frame`] returns.
    ///
    /// # Errors
    /// [`Broken`]: the backend broke the protocol.
    pub(super) fn next(&mut self, counters: &mut Counters) -> Result<Option<usize>, Broken> {
        let mut responses = self.ring.responses()?;
        while responses > 0 {
            let (slot, response) = self.ring.peek(0);
            self.ring.consume(1);
            responses -= 1;
            let number = self.slots[slot as usize];
            let taken = self.take(number, response);
            self.lend(number);
            taken?;
            if self.assembly.next == Next::Frame
                && let Some(length) = self.finish(counters)
            {
                self.ring.publish();
                return Ok(Some(length));
            }
        }
        self.ring.publish();
        Ok(None)
    }

    /// Takes one response: data of the page `number`, or an extra info.
    fn take(&mut self, number: u8, response: Response) -> Result<(), Broken> {
        if self.assembly.next == Next::Extra {
            // The size of the segments that a frame was put together from is of no use here; others
            // were not agreed on.
            if response.0[1] & flag::MORE_EXTRA == 0 {
                self.assembly.next = match self.assembly.more_data {
                    true => Next::Data,
                    false => Next::Frame,
                };
            }
            return Ok(());
        }
        // A response is in the slot of its request (`io/netif.h`), so this can be checked.
        if response.word(0) != u16::from(number) {
            return Err(Broken::Id(response.word(0)));
        }
        let flags = response.word(2);
        self.copy(number, response);
        self.assembly.more_data = flags & flag::MORE_DATA != 0;
        let first = core::mem::replace(&mut self.assembly.next, Next::Data) == Next::Frame;
        if first {
            self.assembly.flags = flags;
        }
        self.assembly.next = match (
            first && flags & flag::EXTRA_INFO != 0,
            self.assembly.more_data,
        ) {
            (true, _) => Next::Extra,
            (false, true) => Next::Data,
            (false, false) => Next::Frame,
        };
        Ok(())
    }

    /// Appends the data that a response says is in its page.
    fn copy(&mut self, number: u8, response: Response) {
        let (offset, status) = (
            usize::from(response.word(1)),
            response.word(3).cast_signed(),
        );
        let page = &self.pages[usize::from(number)];
        let start = self.assembly.length;
        let wanted = usize::try_from(status).ok();
        let inside = wanted.filter(|size| offset + size <= page.len());
        match inside.and_then(|size| self.buffer.get_mut(start..start + size)) {
            Some(place) => {
                page.copy_out(offset, place);
                self.assembly.length += place.len();
            }
            None => self.assembly.spoilt = true,
        }
    }

    /// Ends a frame; returns its length when it is good.
    fn finish(&mut self, counters: &mut Counters) -> Option<usize> {
        let frame = core::mem::take(&mut self.assembly);
        if frame.spoilt || frame.length == 0 {
            counters.rx_errors += 1;
            return None;
        }
        let vouched = flag::DATA_VALIDATED | flag::CHECKSUM_BLANK;
        if frame.flags & vouched == 0 && !transport::verify(&self.buffer[..frame.length]) {
            counters.rx_checksum += 1;
            return None;
        }
        counters.rx_frames += 1;
        Some(frame.length)
    }

    /// Takes the buffer with the frame that [`Self::next`] said is there. It comes back with
    /// [`Self::put_frame_back`] before the next.
    pub(super) fn take_frame(&mut self) -> Box<[u8]> {
        core::mem::take(&mut self.buffer)
    }

    /// Gives the buffer back.
    pub(super) fn put_frame_back(&mut self, buffer: Box<[u8]>) {
        self.buffer = buffer;
    }

    /// Asks for a notification at the next response; returns whether there is one already.
    pub(super) fn ask_for_event(&mut self) -> bool {
        self.ring.ask_for_event(1)
    }

    /// Returns whether the backend wants to know of the pages that it was lent.
    pub(super) fn must_notify(&mut self) -> bool {
        self.ring.must_notify()
    }
}

#[cfg(any(test, not(target_os = "none")))]
impl Receive {
    /// The backend's way to the ring, and to the page behind a request's `id`.
    pub(super) fn peer(&self) -> (SharedMemory, Vec<SharedMemory>) {
        use crate::ring::peer::view;
        let pages = self.pages.iter().map(|page| view(page)).collect();
        (view(self.ring.memory()), pages)
    }

    /// See [`FrontRing::age`].
    pub(super) fn age(&mut self, rounds: u32) {
        self.ring.age(rounds);
    }
}
