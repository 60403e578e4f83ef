//! Backends of the sending half.

use super::{BACKEND, Broken, ROUNDS, SLOTS, Standing, grants};
use crate::{
    hostile::{Script, pattern},
    memory::SharedMemory,
    netfront::{Counters, offload, transmit::Transmit},
    ring::peer,
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::sync::atomic::Ordering;

/// `NETTXF_*` (`io/netif.h`)
mod flag {
    pub(super) const CHECKSUM_BLANK: u16 = 1;
    pub(super) const DATA_VALIDATED: u16 = 2;
    pub(super) const MORE_DATA: u16 = 4;
}

/// Bytes of a page.
const PAGE: usize = 4096;
/// `XEN_NETIF_NR_SLOTS_MIN`
const MOST_SLOTS: usize = 18;

/// `struct netif_tx_request`
#[derive(Clone, Copy, Debug)]
struct Request {
    reference: u32,
    offset: usize,
    flags: u16,
    id: u16,
    size: usize,
}

/// A part of a frame that the backend may read until it answers.
#[derive(Debug)]
struct Lent {
    reference: u32,
    offset: usize,
    bytes: Vec<u8>,
}

/// A frame as the backend puts it together.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) frame: Vec<u8>,
    flags: u16,
    pub(super) ids: Vec<u16>,
}

/// A backend's end of the ring.
pub(super) struct Backend {
    ring: SharedMemory,
    pages: BTreeMap<u32, SharedMemory>,
    /// Requests that were not answered, by their ids.
    lent: BTreeMap<u16, Lent>,
    /// It has answered what it was not asked: the driver may take anything for answered.
    confused: bool,
    /// Of the next request.
    seen: u32,
    /// Of the next response.
    next: u32,
}

impl Backend {
    /// Takes the other end of `transmit`, whose first index is `first`.
    pub(super) fn new(transmit: &Transmit, first: u32) -> Self {
        let (ring, pages) = transmit.peer();
        Self {
            ring,
            pages: pages.into_iter().collect(),
            lent: BTreeMap::new(),
            confused: false,
            seen: first,
            next: first,
        }
    }

    fn request(&self, index: u32) -> Request {
        let slot = peer::slot(index, SLOTS, 12);
        let word = |offset| self.ring.u16(slot + offset).load(Ordering::Relaxed);
        Request {
            reference: self.ring.u32(slot).load(Ordering::Relaxed),
            offset: word(4).into(),
            flags: word(6),
            id: word(8),
            size: word(10).into(),
        }
    }

    /// Takes the next frame, as `io/netif.h` has it, the requests of it that there are all at once.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let published = peer::requests(&self.ring);
        if published == self.seen {
            return None;
        }
        let first = self.request(self.seen);
        let mut taken = Taken {
            frame: Vec::new(),
            flags: first.flags & !flag::MORE_DATA,
            ids: Vec::new(),
        };
        loop {
            assert_ne!(self.seen, published, "a frame is published whole");
            let request = self.request(self.seen);
            self.seen = self.seen.wrapping_add(1);
            taken.ids.push(request.id);
            let more = request.flags & flag::MORE_DATA != 0;
            let size = match taken.ids.len() {
                // The first has the size of all: its own part is what the others leave.
                1 => first.size - self.rest(request, published),
                _ => request.size,
            };
            taken.frame.extend(self.borrow(request, size));
            if !more {
                break;
            }
        }
        assert!(taken.ids.len() <= MOST_SLOTS);
        assert_eq!(taken.frame.len(), first.size);
        Some(taken)
    }

    /// Returns the sizes of all requests that follow `first` in its frame.
    fn rest(&self, first: Request, published: u32) -> usize {
        let (mut sum, mut request, mut index) = (0, first, self.seen);
        while request.flags & flag::MORE_DATA != 0 {
            assert_ne!(index, published, "a frame is published whole");
            request = self.request(index);
            // What only the first may say.
            assert_eq!(request.flags & !flag::MORE_DATA, 0);
            (sum, index) = (sum + request.size, index.wrapping_add(1));
        }
        sum
    }

    fn borrow(&mut self, request: Request, size: usize) -> Vec<u8> {
        assert!(size > 0, "a slot has data");
        assert!(request.offset + size <= PAGE, "across a page: {request:?}");
        let page = &self.pages[&request.reference];
        let mut bytes = vec![0; size];
        page.copy_out(request.offset, &mut bytes);
        let lent = Lent {
            reference: request.reference,
            offset: request.offset,
            bytes: bytes.clone(),
        };
        let before = self.lent.insert(request.id, lent);
        let fresh = before.is_none() || self.confused;
        assert!(fresh, "id {} is in use already", request.id);
        bytes
    }

    /// What was lent and not given back is as it was.
    fn check(&self) {
        for (id, lent) in self.lent.iter().filter(|_| !self.confused) {
            let mut bytes = vec![0; lent.bytes.len()];
            self.pages[&lent.reference].copy_out(lent.offset, &mut bytes);
            assert!(bytes == lent.bytes, "the part with id {id} was overwritten");
        }
    }

    /// Answers a request, and gives back what it lent.
    pub(super) fn answer(&mut self, id: u16, status: i16) {
        self.confused |= self.lent.remove(&id).is_none() || self.next == self.seen;
        let slot = peer::slot(self.next, SLOTS, 12);
        let response = u32::from(id) | u32::from(status.cast_unsigned()) << 16;
        self.ring.u32(slot).store(response, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
    }

    pub(super) fn publish(&self) {
        peer::set_responses(&self.ring, self.next);
    }
}

/// The driver against a backend.
struct Match {
    transmit: Transmit,
    backend: Backend,
    counters: Counters,
    longest: usize,
    checksum_offload: bool,
    standing: Standing,
    /// Whether the driver said that there is room.
    room: bool,
}

impl Match {
    fn new(longest: usize, checksum_offload: bool, rounds: u32) -> Self {
        let transmit = Transmit::new(&grants(), BACKEND, longest, checksum_offload);
        let mut transmit = transmit.expect("there are grants");
        transmit.age(rounds);
        Self {
            backend: Backend::new(&transmit, rounds.wrapping_mul(SLOTS)),
            transmit,
            counters: Counters::default(),
            longest: longest.min(usize::from(u16::MAX)),
            checksum_offload,
            standing: Standing::Fair,
            room: false,
        }
    }

    /// Asks the driver for room.
    fn make_room(&mut self) -> bool {
        self.room = match self.transmit.make_room(&mut self.counters) {
            Ok(room) => room,
            Err(why) => self.end(why),
        };
        self.room
    }

    fn end(&mut self, why: Broken) -> bool {
        assert_ne!(self.standing, Standing::Fair, "{why}");
        self.standing = Standing::Over(why);
        false
    }

    /// Sends a frame, for which there must be room; returns what the backend makes of it.
    fn send(&mut self, frame: &[u8]) -> Option<Taken> {
        let sent = self.counters.tx_frames;
        self.transmit
            .send(frame.len(), &mut self.counters, |place| {
                place.copy_from_slice(frame);
            });
        self.room = false;
        let fits = frame.len() <= self.longest;
        assert_eq!(self.counters.tx_frames - sent, u64::from(fits));
        let taken = self.backend.take();
        assert_eq!(taken.is_some(), fits);
        let taken = taken?;
        let (expected, flags) = self.expected(frame);
        assert!(taken.frame == expected, "{} bytes", frame.len());
        assert_eq!(taken.flags, flags);
        assert!(self.backend.take().is_none());
        Some(taken)
    }

    /// Returns how a frame goes out, and with which flags.
    fn expected(&self, frame: &[u8]) -> (Vec<u8>, u16) {
        let mut frame = frame.to_vec();
        let blank = self.checksum_offload && offload::leave_blank(&mut frame);
        if !self.checksum_offload {
            offload::fill(&mut frame);
        }
        let blank_flags = flag::CHECKSUM_BLANK | flag::DATA_VALIDATED;
        (frame, if blank { blank_flags } else { 0 })
    }
}

/// Returns a frame, of TCP over IPv4 where it is long enough and `tcp` says so.
pub(super) fn frame(seed: u32, length: usize, tcp: bool) -> Vec<u8> {
    let mut frame = pattern(seed, length);
    if tcp && length >= 54 {
        frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
        frame[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
    }
    frame
}

/// Plays a backend of the sending half.
///
/// # Panics
/// When the driver breaks a promise: that is what it is for.
pub fn transmit(script: &[u8]) {
    let mut script = Script::new(script);
    let longest = [60, 1514, 4096, 9014, 65_535, 80_000][usize::from(script.u8() % 6)];
    let (offload, rounds) = (script.u8().is_multiple_of(2), script.u8() % 2);
    let mut game = Match::new(longest, offload, [0, ROUNDS][usize::from(rounds)]);
    while !script.is_over() && !matches!(game.standing, Standing::Over(_)) {
        game.step(&mut script);
    }
}

impl Match {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 8 {
            0 | 1 => self.send_by(script),
            2 => self.answer_by(script),
            3 => self.backend.publish(),
            4 => self.wild_response(script),
            5 => self.wild_memory(script),
            6 => self.notifications(script),
            _ => self.backend.check(),
        }
    }

    fn send_by(&mut self, script: &mut Script<'_>) {
        // Now and then one that is too long.
        let length = 1 + script.below((self.longest + self.longest / 8).min(65_536));
        let frame = frame(script.u8().into(), length, script.u8().is_multiple_of(2));
        if self.make_room() {
            self.send(&frame);
        }
    }

    /// Answers some requests, in any order.
    fn answer_by(&mut self, script: &mut Script<'_>) {
        for _ in 0..script.u8() % 64 {
            let open = self.backend.lent.len();
            let pick = usize::from(script.u8()) % open.max(1);
            let Some(id) = self.backend.lent.keys().nth(pick).copied() else {
                return;
            };
            self.backend.answer(id, i16::from(script.u8() % 3) - 1);
        }
    }

    fn wild_response(&mut self, script: &mut Script<'_>) {
        self.standing = Standing::Foul;
        self.backend
            .answer(script.u16() % 2000, script.u16() as i16);
    }

    /// Writes anywhere in the ring but over the driver's index, by which the backend finds requests.
    fn wild_memory(&mut self, script: &mut Script<'_>) {
        self.standing = Standing::Foul;
        self.backend.confused = true;
        let offset = 4 + 4 * script.below(PAGE / 4 - 1);
        self.backend
            .ring
            .u32(offset)
            .store(script.u32(), Ordering::SeqCst);
    }

    fn notifications(&mut self, script: &mut Script<'_>) {
        peer::set_request_event(&self.backend.ring, script.u32());
        self.transmit.must_notify();
        self.transmit.ask_for_event();
    }
}

#[cfg(test)]
mod tests;
