//! A device that does whatever a script of bytes says, for fuzzers and tests on hosts.
//!
//! A script mixes what a device may do with what none does: buffers that it was not lent, lengths that are not, indices that
//! jump, headers that contradict each other. Whatever it does, nothing panics and nothing but the driver's own memory is
//! touched; and as long as it keeps the rules, frames pass whole and in order, both ways.

use super::model::{ALL, Device, INTERRUPT, Seen, plain, ring, segment};
use super::*;
use crate::virtio::memory;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// Bytes that say what happens; zeros follow when they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn u8(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }
}

/// Plays a script to its end.
///
/// # Panics
/// When the driver does not do what it promises.
pub fn play(script: &[u8]) {
    let mut script = Script(script);
    if let Some(mut bench) = Bench::new(&mut script) {
        while !script.0.is_empty() {
            bench.step(&mut script);
        }
    }
    // SAFETY: 1. The card and the device were dropped above.
    unsafe { memory::give_back() };
}

/// A card, its device, and what they owe each other.
struct Bench {
    card: VirtioNet<Device>,
    doorbell: Doorbell<Device>,
    header: usize,
    merges: bool,
    /// The device has kept the rules so far.
    is_fair: bool,
    /// What is to arrive, as long as it does.
    arriving: VecDeque<Vec<u8>>,
    /// What is to be sent, as long as it does.
    leaving: VecDeque<Vec<u8>>,
}

impl Bench {
    fn new(script: &mut Script<'_>) -> Option<Self> {
        let device = Device {
            offers: ALL & !(u64::from(script.u32()) << 1 & ALL) | u64::from(script.u8()) << 33,
            link: script.u16(),
            longest_queue: script.u8().into(),
            ..Device::default()
        };
        let memory = [4 << 20, 64 << 20][usize::from(script.u8() & 1)];
        let (card, doorbell) = VirtioNet::new(device, &INTERRUPT, memory).ok()?;
        let agreed = Agreed(card.shared.borrow().slot.accepted);
        Some(Self {
            card,
            doorbell,
            header: agreed.header(),
            merges: agreed.has(feature::MRG_RXBUF),
            is_fair: true,
            arriving: VecDeque::new(),
            leaving: VecDeque::new(),
        })
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 16 {
            0 | 1 => self.arrives(usize::from(script.u16()), script.u8()),
            2 => self.is_received(),
            3 => self.sends(plain(usize::from(script.u16() % 1500).max(14), script.u8())),
            4 => self.sends(segment(script.u32(), usize::from(script.u16() % 1460))),
            5 => self.is_sent(),
            6 => ring(&mut self.doorbell),
            7 => self.card.device(1, |queue| queue.ask()),
            8 => self.changes_link(script),
            9 => self.says(script),
            10 => self.gives_nonsense(script),
            11 => self.writes_nonsense(script),
            12 => self.jumps(script),
            13 => self.card.device(0, |queue| {
                queue.take();
            }),
            14 => self.sends_segments(script),
            _ => INTERRUPT.signal(),
        }
        // Buffers that it was lent and keeps are no foul, but frames no longer come in the order of their buffers.
        self.is_fair &= !self.card.device(0, |queue| queue.next != queue.given);
    }

    /// The device sends a frame, in as many buffers as it takes, if it has them.
    fn arrives(&mut self, length: usize, seed: u8) {
        let longest = if self.merges { 65_000 } else { LONGEST_FRAME };
        let frame = plain(length.clamp(14, longest), seed);
        let mut bytes = alloc::vec![0; self.header];
        bytes[0] = 2;
        let pieces = (self.header + frame.len()).div_ceil(STRIDE);
        if self.header == 12 {
            bytes[10..12].copy_from_slice(&(pieces as u16).to_le_bytes());
        }
        bytes.extend(&frame);
        let lent = self.card.device(0, |queue| {
            let mut sizes = bytes.chunks(STRIDE);
            sizes.all(|piece| match queue.take() {
                Some(id) => {
                    queue.buffer(id)[..piece.len()].copy_from_slice(piece);
                    queue.give(id.into(), piece.len() as u32);
                    true
                }
                None => false,
            })
        });
        match lent {
            true => self.arriving.push_back(frame),
            false => self.is_fair = false,
        }
    }

    fn is_received(&mut self) {
        // The stack takes a frame only with room for an answer.
        self.is_sent();
        while let Some(frame) = self.card.received() {
            if self.is_fair {
                assert_eq!(Some(frame), self.arriving.pop_front(), "what arrived");
            }
        }
        assert!(!self.is_fair || self.arriving.is_empty(), "a frame is lost");
        self.arriving.clear();
    }

    fn sends(&mut self, frame: Vec<u8>) {
        let is_plain = frame[12..14] == [0x88, 0xb5];
        if self.card.sends(&frame) && is_plain {
            self.leaving.push_back(frame);
        }
    }

    /// A frame of segments.
    fn sends_segments(&mut self, script: &mut Script<'_>) {
        let (sequence, data, mss) = (script.u32(), script.u16(), script.u16());
        let most = u16::MAX - 54;
        self.card
            .sends_segments(sequence, data.min(most).into(), mss.max(1));
    }

    /// The device sends what it was given. Segments are not looked at.
    fn is_sent(&mut self) {
        ring(&mut self.doorbell);
        let frames = self.card.sent();
        if !self.is_fair {
            return self.leaving.clear();
        }
        let bodies = frames.iter().filter_map(|it| it.get(self.header..));
        let plain = bodies.filter(|it| it.get(12..14) == Some(&[0x88, 0xb5]));
        for frame in plain {
            assert_eq!(Some(frame), self.leaving.pop_front().as_deref(), "sent");
        }
    }

    fn changes_link(&mut self, script: &mut Script<'_>) {
        self.card.shared.borrow_mut().slot.link = script.u16();
    }

    /// Interrupts that it has something to say with.
    fn says(&mut self, script: &mut Script<'_>) {
        let said = InterruptStatus::from_bits_retain(script.u8().into());
        let mut shared = self.card.shared.borrow_mut();
        shared
            .slot
            .interrupts
            .extend([said].repeat(1 + usize::from(script.u8() % 8)));
    }

    /// A buffer that it may not have, with a length that may be none.
    fn gives_nonsense(&mut self, script: &mut Script<'_>) {
        self.is_fair = false;
        let queue = usize::from(script.u8() & 1);
        let id = match script.u8() & 3 {
            0 => script.u32(),
            _ => u32::from(script.u16() % 300),
        };
        let length = script.u32();
        self.card.device(queue, |queue| queue.give(id, length));
    }

    /// A buffer of its own, with bytes of the script.
    fn writes_nonsense(&mut self, script: &mut Script<'_>) {
        self.is_fair = false;
        let length = usize::from(script.u8());
        let bytes: Vec<u8> = (0..length).map(|_| script.u8()).collect();
        let said = script.u32();
        self.card.device(0, |queue| {
            if let Some(id) = queue.take() {
                queue.buffer(id)[..length].copy_from_slice(&bytes);
                queue.give(id.into(), said);
            }
        });
    }

    /// An index, an event or a flag of the used ring that is none.
    fn jumps(&mut self, script: &mut Script<'_>) {
        self.is_fair = false;
        let (queue, value) = (usize::from(script.u8() & 1), script.u16());
        let at = script.u8() % 4;
        self.card.device(queue, |queue: &mut Seen| {
            let place = match at {
                0 => queue.used,
                1 => queue.used + 4 + 8 * usize::from(queue.size),
                _ => queue.used + 2,
            };
            queue.half(place).store(value, Ordering::Release);
            if at == 3 {
                queue.given = value;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::play;

    /// Scripts by chance; those that a fuzzer found are in `tests/fuzz/corpus/virtio_net`.
    #[test]
    fn no_script_does_harm() {
        for seed in 0..300_u32 {
            let mut state = seed.wrapping_mul(2_654_435_761);
            let mut random = move |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let script: std::vec::Vec<u8> = (0..600).map(&mut random).collect();
            play(&script);
        }
    }
}
