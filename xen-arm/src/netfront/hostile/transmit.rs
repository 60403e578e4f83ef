//! Backends of the sending half.

use super::{BACKEND, Broken, ROUNDS, SLOTS, Standing, grants};
use crate::{
    hostile::{Script, pattern},
    memory::SharedMemory,
    netfront::{Counters, features::Cut, transmit::Transmit},
    ring::peer,
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::sync::atomic::Ordering;
use landfall_offload::{
    segmentation::{IpVersion, LargeFrame},
    transport,
};

/// `NETTXF_*` (`io/netif.h`)
mod flag {
    pub(super) const CHECKSUM_BLANK: u16 = 1;
    pub(super) const DATA_VALIDATED: u16 = 2;
    pub(super) const MORE_DATA: u16 = 4;
    pub(super) const EXTRA_INFO: u16 = 8;
}

/// `NETIF_RSP_NULL`
const NO_RESPONSE: i16 = 1;
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
    /// Bytes of data of the segments that it is to be cut into, and `XEN_NETIF_GSO_TYPE_*`.
    pub(super) segments: Option<(u16, u32)>,
}

/// A backend's end of the ring.
pub(super) struct Backend {
    ring: SharedMemory,
    pages: BTreeMap<u32, SharedMemory>,
    /// Requests that were not answered, by their ids.
    lent: BTreeMap<u16, Lent>,
    /// Slots with extra infos that were not answered.
    extras: u32,
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
            extras: 0,
            confused: false,
            seen: first,
            next: first,
        }
    }

    /// Maps what `transmit` has shared since.
    fn look(&mut self, transmit: &Transmit) {
        self.pages = transmit.peer().1.into_iter().collect();
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
            flags: first.flags & !(flag::MORE_DATA | flag::EXTRA_INFO),
            ids: Vec::new(),
            segments: None,
        };
        loop {
            assert_ne!(self.seen, published, "a frame is published whole");
            let request = self.request(self.seen);
            self.seen = self.seen.wrapping_add(1);
            taken.ids.push(request.id);
            if request.flags & flag::EXTRA_INFO != 0 {
                taken.segments = Some(self.segments(published));
            }
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

    /// Takes the extra info that follows: the size of segments of TCP, and over which IP.
    fn segments(&mut self, published: u32) -> (u16, u32) {
        assert_ne!(self.seen, published, "a frame is published whole");
        let slot = peer::slot(self.seen, SLOTS, 12);
        let word = |offset| self.ring.u32(slot + offset).load(Ordering::Relaxed);
        self.seen = self.seen.wrapping_add(1);
        self.extras += 1;
        // `XEN_NETIF_EXTRA_TYPE_GSO` without more.
        assert_eq!(word(0) & 0xffff, 1);
        ((word(0) >> 16) as u16, word(4))
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

    /// Answers an extra info.
    fn answer_extra(&mut self, id: u16) {
        self.confused |= self.extras == 0;
        self.extras = self.extras.saturating_sub(1);
        self.respond(id, NO_RESPONSE);
    }

    /// Answers a request, and gives back what it lent.
    pub(super) fn answer(&mut self, id: u16, status: i16) {
        self.confused |= self.lent.remove(&id).is_none() || self.next == self.seen;
        self.respond(id, status);
    }

    fn respond(&mut self, id: u16, status: i16) {
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
    cut: Cut,
    standing: Standing,
    /// Whether the driver said that there is room.
    room: bool,
}

impl Match {
    #[cfg(test)]
    fn new(longest: usize, checksums: bool, rounds: u32) -> Self {
        let cut = Cut {
            checksums,
            ..Cut::default()
        };
        Self::with(longest, cut, rounds)
    }

    fn with(longest: usize, cut: Cut, rounds: u32) -> Self {
        let transmit = Transmit::new(&grants(), BACKEND, longest, cut);
        let mut transmit = transmit.expect("there are grants");
        transmit.age(rounds);
        Self {
            backend: Backend::new(&transmit, rounds.wrapping_mul(SLOTS)),
            transmit,
            counters: Counters::default(),
            longest: longest.min(usize::from(u16::MAX)),
            cut,
            standing: Standing::Fair,
            room: false,
        }
    }

    /// Asks the driver for room.
    fn make_room(&mut self) -> bool {
        self.ask_for_room(Transmit::make_room)
    }

    /// Asks it for room for a frame that the backend cuts.
    fn make_long_room(&mut self) -> bool {
        self.ask_for_room(Transmit::make_long_room)
    }

    fn ask_for_room(
        &mut self,
        ask: fn(&mut Transmit, &mut Counters) -> Result<bool, Broken>,
    ) -> bool {
        self.room = match ask(&mut self.transmit, &mut self.counters) {
            Ok(room) => room,
            Err(why) => self.end(why),
        };
        self.backend.look(&self.transmit);
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
        let taken = self.take(frame);
        assert_eq!(taken.is_some(), fits);
        assert!(taken.iter().all(|it| it.segments.is_none()));
        taken
    }

    /// The same for a frame that the backend is to cut.
    fn send_large(&mut self, frame: &[u8], mss: u16, version: IpVersion) -> Taken {
        let large = LargeFrame {
            length: frame.len(),
            headers: headers(version),
            mss,
            version,
        };
        let write = |place: &mut [u8]| place.copy_from_slice(frame);
        self.transmit.send_large(large, &mut self.counters, write);
        self.room = false;
        let taken = self.take(frame).expect("it goes at once");
        let kind = match version {
            IpVersion::V4 => 1,
            IpVersion::V6 => 2,
        };
        assert_eq!(taken.segments, Some((mss, kind)));
        let blank = flag::CHECKSUM_BLANK | flag::DATA_VALIDATED;
        assert_eq!(taken.flags, blank, "whoever cuts makes the checksums");
        taken
    }

    /// Has the backend take what was sent: `frame`, and no other.
    fn take(&mut self, frame: &[u8]) -> Option<Taken> {
        let taken = self.backend.take()?;
        let (expected, flags) = self.expected(frame);
        assert!(taken.frame == expected, "{} bytes", frame.len());
        assert_eq!(taken.flags, flags);
        assert!(self.backend.take().is_none());
        Some(taken)
    }

    /// Returns how a frame goes out, and with which flags.
    fn expected(&self, frame: &[u8]) -> (Vec<u8>, u16) {
        let mut frame = frame.to_vec();
        let also_ipv6 = self.cut.ipv6_checksums;
        let blank = self.cut.checksums && transport::leave_blank(&mut frame, also_ipv6).is_some();
        if !self.cut.checksums {
            transport::fill(&mut frame);
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

/// Bytes of the headers of [`segments`].
fn headers(version: IpVersion) -> usize {
    match version {
        IpVersion::V4 => 54,
        IpVersion::V6 => 74,
    }
}

/// Returns a frame of TCP with `data` bytes of data.
pub(super) fn segments(version: IpVersion, seed: u32, data: usize) -> Vec<u8> {
    let mut frame = frame(seed, headers(version) + data, true);
    if version == IpVersion::V6 {
        frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64]);
        frame[18..20].copy_from_slice(&((20 + data) as u16).to_be_bytes());
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
    let (checksums, rounds) = (script.u8().is_multiple_of(2), script.u8());
    let cut = Cut {
        checksums,
        ipv6_checksums: checksums && longest > 4096,
        ipv4: checksums,
        ipv6: checksums && longest > 4096,
        long_frames: usize::from(rounds >> 1) % 9,
    };
    let mut game = Match::with(longest, cut, [0, ROUNDS][usize::from(rounds % 2)]);
    while !script.is_over() && !matches!(game.standing, Standing::Over(_)) {
        game.step(&mut script);
    }
}

impl Match {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 9 {
            0 | 1 => self.send_by(script),
            8 => self.send_segments(script),
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

    /// Sends a frame of TCP's segments, if the backend cuts them.
    fn send_segments(&mut self, script: &mut Script<'_>) {
        let version = match script.u8() % 2 {
            0 => IpVersion::V4,
            _ => IpVersion::V6,
        };
        let mss = script.u16().max(1);
        let most = usize::from(u16::MAX) - headers(version);
        let frame = segments(version, script.u8().into(), 1 + script.below(most));
        if self.transmit.segments(version) && self.make_long_room() {
            self.send_large(&frame, mss, version);
        }
    }

    /// Answers some requests, in any order.
    fn answer_by(&mut self, script: &mut Script<'_>) {
        for _ in 0..script.u8() % 64 {
            if self.backend.extras > 0 && script.u8().is_multiple_of(4) {
                self.backend.answer_extra(script.u16());
                continue;
            }
            let open = self.backend.lent.len();
            let pick = usize::from(script.u8()) % open.max(1);
            let Some(id) = self.backend.lent.keys().nth(pick).copied() else {
                return;
            };
            self.backend.answer(id, -i16::from(script.u8() % 2));
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
