//! Backends of the receiving half.

use super::{BACKEND, Broken, ROUNDS, SLOTS, Standing, grants};
use crate::{
    hostile::{Script, pattern},
    memory::SharedMemory,
    netfront::{
        Counters,
        receive::{PAGES, Receive},
    },
    ring::peer,
};
use alloc::{collections::VecDeque, vec, vec::Vec};
use core::sync::atomic::Ordering;

/// `NETRXF_*` (`io/netif.h`)
mod flag {
    pub(super) const DATA_VALIDATED: u16 = 1;
    pub(super) const CHECKSUM_BLANK: u16 = 2;
    pub(super) const MORE_DATA: u16 = 4;
    pub(super) const EXTRA_INFO: u16 = 8;
}
/// `XEN_NETIF_EXTRA_FLAG_MORE`, and a type of extra info.
const MORE_EXTRA: u8 = 1;
const EXTRA_TYPE: u8 = 2;

/// Bytes of a page.
const PAGE: usize = 4096;

/// `struct netif_rx_response`
#[derive(Clone, Copy, Debug)]
struct Response {
    id: u16,
    offset: u16,
    flags: u16,
    status: i16,
}

impl Response {
    fn bytes(self) -> u64 {
        let words = [self.id, self.offset, self.flags, self.status as u16];
        let words = words.map(u64::from);
        words[0] | words[1] << 16 | words[2] << 32 | words[3] << 48
    }
}

/// How a frame is to arrive.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Offset of each part in its page, and its length.
    parts: Vec<(usize, usize)>,
    /// Extra infos after the first part.
    extras: usize,
    /// Of the first part, of those that say nothing about what follows.
    flags: u16,
}

impl Way {
    /// Cuts `length` bytes into parts of at most `most` bytes, each as far into its page as it can be,
    /// and at most at `offset`.
    pub(super) fn cut(length: usize, most: usize, offset: usize) -> Self {
        let mut parts = Vec::new();
        let mut left = length;
        while left > 0 {
            let size = left.min(most);
            parts.push((offset.min(PAGE - size), size));
            left -= size;
        }
        Self {
            parts,
            extras: 0,
            flags: 0,
        }
    }

    fn slots(&self) -> usize {
        self.parts.len() + self.extras
    }
}

/// A backend's end of the ring.
pub(super) struct Backend {
    pub(super) ring: SharedMemory,
    pages: Vec<SharedMemory>,
    /// Of each slot, the page that its request lent, as it was when it was published.
    ids: Vec<u16>,
    /// Of each page, its grant reference.
    references: Vec<Option<u32>>,
    /// Up to where requests were seen.
    seen: u32,
    /// Of the next response.
    pub(super) next: u32,
    /// Up to where the driver was shown responses.
    pub(super) shown: u32,
}

impl Backend {
    /// Takes the other end of `receive`, whose first index is `first`.
    pub(super) fn new(receive: &Receive, first: u32) -> Self {
        let (ring, pages) = receive.peer();
        let mut this = Self {
            references: vec![None; pages.len()],
            ids: vec![0; SLOTS as usize],
            ring,
            pages,
            seen: first,
            next: first,
            shown: first,
        };
        this.look();
        this
    }

    pub(super) fn slot(&self, index: u32) -> usize {
        peer::slot(index, SLOTS, 8)
    }

    /// Looks at new requests: each lends a page, always under the same reference.
    pub(super) fn look(&mut self) {
        let published = peer::requests(&self.ring);
        assert!(published.wrapping_sub(self.seen) <= PAGES as u32);
        while self.seen != published {
            let slot = self.slot(self.seen);
            let id = self.ring.u16(slot).load(Ordering::Relaxed);
            let reference = self.ring.u32(slot + 4).load(Ordering::Relaxed);
            let known = self.references[usize::from(id)].get_or_insert(reference);
            assert_eq!(*known, reference, "page {id} has one reference");
            self.ids[(self.seen % SLOTS) as usize] = id;
            self.seen = self.seen.wrapping_add(1);
        }
    }

    /// Returns how many requests were not answered.
    fn open(&self) -> usize {
        self.seen.wrapping_sub(self.next) as usize
    }

    /// Returns the page that the next response is to be for.
    pub(super) fn id(&self) -> u16 {
        self.ids[(self.next % SLOTS) as usize]
    }

    /// Returns whether the requests that are open lend each page once.
    fn all_are_lent(&self) -> bool {
        let open = (0..self.open() as u32).map(|it| self.next.wrapping_add(it));
        let mut ids: Vec<u16> = open.map(|it| self.ids[(it % SLOTS) as usize]).collect();
        ids.sort_unstable();
        ids.into_iter().eq(0..PAGES as u16)
    }

    pub(super) fn put(&mut self, response: u64) {
        let slot = self.slot(self.next);
        self.ring.u64(slot).store(response, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
    }

    /// Delivers a frame; returns whether there was room for it. It is not published.
    pub(super) fn deliver(&mut self, frame: &[u8], way: &Way) -> bool {
        if way.slots() > self.open() {
            return false;
        }
        let mut at = 0;
        for (number, &(offset, size)) in way.parts.iter().enumerate() {
            let part = &frame[at..at + size];
            at += size;
            self.part(part, offset, self.flags(way, number));
            if number == 0 {
                self.extras(way.extras);
            }
        }
        assert_eq!(at, frame.len());
        true
    }

    fn flags(&self, way: &Way, number: usize) -> u16 {
        let more = number + 1 < way.parts.len();
        let mut flags = if more { flag::MORE_DATA } else { 0 };
        if number == 0 {
            flags |= way.flags;
            flags |= if way.extras > 0 { flag::EXTRA_INFO } else { 0 };
        }
        flags
    }

    fn part(&mut self, part: &[u8], offset: usize, flags: u16) {
        let id = self.id();
        self.pages[usize::from(id)].copy_in(offset, part);
        let response = Response {
            id,
            offset: offset as u16,
            flags,
            status: part.len() as i16,
        };
        self.put(response.bytes());
    }

    fn extras(&mut self, count: usize) {
        for number in 0..count {
            let flags = if number + 1 < count { MORE_EXTRA } else { 0 };
            self.put(u64::from_le_bytes([EXTRA_TYPE, flags, 1, 2, 3, 4, 5, 6]));
        }
    }

    /// Shows the driver responses up to `behind` before the last, where it was not shown more.
    pub(super) fn publish(&mut self, behind: u32) {
        let index = self.next.wrapping_sub(behind);
        if is_after(index, self.shown) {
            self.show(index);
        }
    }

    fn show(&mut self, index: u32) {
        self.shown = index;
        peer::set_responses(&self.ring, index);
    }
}

/// Returns whether one index is beyond another, of which it is near.
fn is_after(index: u32, other: u32) -> bool {
    index.wrapping_sub(other).cast_signed() > 0
}

/// The driver against a backend.
struct Match {
    receive: Receive,
    backend: Backend,
    counters: Counters,
    longest: usize,
    standing: Standing,
    /// Frames that were delivered, each with the index after its last response.
    expected: VecDeque<(u32, Vec<u8>)>,
    /// The frame that the driver took last.
    last: Vec<u8>,
}

impl Match {
    fn new(longest: usize, rounds: u32) -> Self {
        let mut receive = Receive::new(&grants(), BACKEND, longest).expect("there are grants");
        receive.age(rounds);
        Self {
            backend: Backend::new(&receive, rounds.wrapping_mul(SLOTS)),
            receive,
            counters: Counters::default(),
            longest,
            standing: Standing::Fair,
            expected: VecDeque::new(),
            last: Vec::new(),
        }
    }

    /// Delivers a frame, which is expected then; returns whether there was room.
    fn deliver(&mut self, frame: Vec<u8>, way: &Way) -> bool {
        let room = self.backend.deliver(&frame, way);
        if room {
            self.expected.push_back((self.backend.next, frame));
        }
        room
    }

    /// Lets the driver take everything that was published.
    fn take_all(&mut self) {
        loop {
            match self.receive.next(&mut self.counters) {
                Ok(Some(length)) => self.take(length),
                Ok(None) => return self.backend.look(),
                Err(why) => return self.end(why),
            }
            self.backend.look();
        }
    }

    fn take(&mut self, length: usize) {
        let buffer = self.receive.take_frame();
        assert_eq!(buffer.len(), self.longest);
        assert!(length > 0);
        self.last = buffer[..length].to_vec();
        self.receive.put_frame_back(buffer);
        if self.standing == Standing::Fair {
            let expected = self.expected.pop_front().map(|(_, frame)| frame);
            assert_eq!(Some(&self.last), expected.as_ref());
        }
    }

    fn end(&mut self, why: Broken) {
        assert_ne!(self.standing, Standing::Fair, "{why}");
        self.standing = Standing::Over(why);
    }

    /// Nothing that was shown is left, and no page is lost.
    fn check(&self) {
        if self.standing != Standing::Fair {
            return;
        }
        let shown = self.backend.shown;
        assert!(self.expected.iter().all(|&(end, _)| is_after(end, shown)));
        assert_eq!((self.counters.rx_errors, self.counters.rx_checksum), (0, 0));
        assert!(self.backend.next != shown || self.backend.all_are_lent());
    }

    /// When the driver goes on after what has happened, frames arrive again.
    fn recover(&mut self) {
        if matches!(self.standing, Standing::Over(_)) {
            // Nobody asks any more; nothing would happen if somebody did.
            let _ = self.receive.next(&mut self.counters);
            return;
        }
        self.backend.publish(0);
        self.take_all();
        self.check();
        if matches!(self.standing, Standing::Over(_)) {
            return;
        }
        // Two responses end whichever frame was under way: one its extra infos, one its data.
        for _ in 0..2 {
            self.backend.deliver(&[0; 60], &Way::cut(60, PAGE, 0));
        }
        let frame = frame(1, self.longest);
        self.backend
            .deliver(&frame, &Way::cut(frame.len(), PAGE, 0));
        self.backend.publish(0);
        self.standing = Standing::Foul;
        self.take_all();
        assert_eq!(self.standing, Standing::Foul);
        assert_eq!(self.last, frame);
        assert!(self.backend.all_are_lent());
    }
}

/// Returns a frame of a protocol that has no checksum.
pub(super) fn frame(seed: u32, length: usize) -> Vec<u8> {
    let mut frame = pattern(seed, length);
    if let Some(kind) = frame.get_mut(12..14) {
        // IEEE 802's number for experiments.
        kind.copy_from_slice(&[0x88, 0xb5]);
    }
    frame
}

/// Plays a backend of the receiving half.
///
/// # Panics
/// When the driver breaks a promise: that is what it is for.
pub fn receive(script: &[u8]) {
    let mut script = Script::new(script);
    let longest = [60, 1514, 9014, 65_535][usize::from(script.u8() % 4)];
    let rounds = [0, ROUNDS][usize::from(script.u8() % 2)];
    let mut game = Match::new(longest, rounds);
    while !script.is_over() && !matches!(game.standing, Standing::Over(_)) {
        game.step(&mut script);
    }
    game.recover();
}

impl Match {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 8 {
            0 | 1 => self.deliver_by(script),
            2 => self.backend.publish(script.u32() % 4),
            3 => self.take_all(),
            4 => self.wild_response(script),
            5 => self.wild_index(script),
            6 => self.wild_memory(script),
            _ => self.notifications(script),
        }
    }

    fn deliver_by(&mut self, script: &mut Script<'_>) {
        let frame = frame(script.u8().into(), 1 + script.below(self.longest));
        let mut way = Way::cut(frame.len(), 1 + script.below(PAGE), script.below(PAGE));
        way.extras = usize::from(script.u8() % 4);
        way.flags = u16::from(script.u8()) & (flag::DATA_VALIDATED | flag::CHECKSUM_BLANK);
        if self.deliver(frame, &way) {
            self.backend.publish(script.u32() % 3);
            self.take_all();
            self.check();
        }
    }

    fn wild_response(&mut self, script: &mut Script<'_>) {
        if self.backend.open() == 0 {
            return;
        }
        self.standing = Standing::Foul;
        let id = match script.u8() % 4 {
            0 => script.u16(),
            _ => self.backend.id(),
        };
        let response = Response {
            id,
            offset: script.u16(),
            flags: script.u16(),
            status: script.u16() as i16,
        };
        self.backend.put(response.bytes());
    }

    fn wild_index(&mut self, script: &mut Script<'_>) {
        self.standing = Standing::Foul;
        let index = match script.u8() % 3 {
            0 => self.backend.next.wrapping_add(script.u32() % 65),
            1 => self.backend.next.wrapping_sub(script.u32() % 65),
            _ => script.u32(),
        };
        self.backend.show(index);
        self.agree();
    }

    /// Lets the driver look at once, so that it and the backend agree on what is open.
    fn agree(&mut self) {
        let index = peer::responses(&self.backend.ring);
        (self.backend.next, self.backend.shown) = (index, index);
        self.take_all();
    }

    /// Writes into a page, or anywhere in the ring.
    fn wild_memory(&mut self, script: &mut Script<'_>) {
        let offset = 8 * script.below(PAGE / 8);
        let value = script.u64();
        match script.u8() {
            page if usize::from(page) < PAGES => {
                // A page that holds nothing yet is the backend's own affair.
                if !self.expected.is_empty() {
                    self.standing = Standing::Foul;
                }
                let page = &self.backend.pages[usize::from(page)];
                page.u64(offset).store(value, Ordering::SeqCst);
            }
            _ => {
                self.standing = Standing::Foul;
                self.backend.ring.u64(offset).store(value, Ordering::SeqCst);
                self.agree();
            }
        }
    }

    fn notifications(&mut self, script: &mut Script<'_>) {
        peer::set_request_event(&self.backend.ring, script.u32());
        self.receive.must_notify();
        self.receive.ask_for_event();
    }
}

#[cfg(test)]
mod tests;
