//! Receiving: one piece of memory, which the device gets in buffers that lie behind each other (virtio 1.2, 5.1.6.3).
//!
//! A device uses buffers in the order in which it got them and fills one before it goes on, so a frame that is longer than
//! one lies in one piece, and the stack reads it there. Only one that goes on at the first buffer after the last is put
//! together behind that; so is what a device scatters otherwise.

use super::{Agreed, STRIDE, feature};
use crate::virtio::{memory, queue::Queue};
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;
use landfall_offload::{segmentation::LONGEST, transport};
use virtio_drivers::{Error, transport::Transport};

/// The queue (5.1.2, `receiveq1`).
const QUEUE: u16 = 0;
/// Descriptors, and buffers where long frames come.
const MANY: usize = 256;
/// Buffers where none do.
const FEW: usize = 64;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum was left out, as the frame was on no wire. `VIRTIO_NET_HDR_F_DATA_VALID`: it was
/// looked at (5.1.6.4).
const VOUCHED: u8 = 1 | 2;

/// The receiving half of a card.
pub(super) struct Receive {
    queue: Queue<MANY>,
    pieces: Pieces,
    /// Of the device's header.
    header: usize,
    /// Frames may come in several buffers.
    merges: bool,
    /// The next frame for the stack.
    frame: Option<Range<usize>>,
    /// The buffers that the last was in.
    held: Vec<u16>,
    /// Frames that were dropped: wrong checksums, and what the device cannot have meant.
    dropped: u64,
}

impl Receive {
    /// Makes the queue and its buffers.
    pub(super) fn new(slot: &mut impl Transport, agreed: Agreed) -> Result<Self, Error> {
        let queue = Queue::new(slot, QUEUE, agreed.has(feature::EVENT_IDX))?;
        let merges = agreed.has(feature::MRG_RXBUF);
        let (buffers, behind) = match merges {
            true => (MANY, LONGEST + STRIDE),
            false => (FEW, 0),
        };
        let memory = memory::bytes(buffers * STRIDE + behind, agreed.lead())?;
        let mut this = Self {
            queue,
            pieces: Pieces { memory, buffers },
            header: agreed.header(),
            merges,
            frame: None,
            held: Vec::with_capacity(buffers),
            dropped: 0,
        };
        for id in 0..buffers {
            let address = memory.addr().get() + id * STRIDE;
            this.queue.describe(id as u16, address, STRIDE, true);
        }
        Ok(this)
    }

    /// Lends the device all buffers.
    pub(super) fn start(&mut self, slot: &mut impl Transport) {
        for id in 0..self.pieces.buffers {
            self.queue.lend(id as u16);
        }
        self.queue.notify_anyway(slot);
    }

    /// See [`Queue::ask_for_event`].
    pub(super) fn ask_for_event(&mut self) {
        self.queue.ask_for_event(1);
    }

    /// Returns whether there is something to look at, after the device was told of its buffers.
    pub(super) fn look_again(&mut self, slot: &mut impl Transport) -> bool {
        self.queue.notify(slot);
        self.queue.has_used()
    }

    /// See [`Queue::position`]; `None` where the device has given back more.
    pub(super) fn position(&self) -> Option<(u16, u16)> {
        (!self.queue.has_used()).then(|| self.queue.position())
    }

    /// Finds the next frame; returns whether there is one. The buffers of the last go back to the device.
    pub(super) fn next(&mut self, slot: &mut impl Transport) -> bool {
        while self.frame.is_none() {
            if !self.held.is_empty() {
                for id in self.held.drain(..) {
                    self.queue.lend(id);
                }
                self.queue.notify(slot);
            }
            if !self.queue.has_used() {
                return false;
            }
            self.frame = self.collect();
            if self.frame.is_none() {
                self.dropped += 1;
                log::debug!("dropped {} received frames", self.dropped);
            }
        }
        true
    }

    /// Returns the frame that was found. It is the caller's until the next [`Self::next`].
    pub(super) fn take(&mut self) -> Option<NonNull<[u8]>> {
        let frame = self.frame.take()?;
        Some(self.pieces.pointer(frame))
    }

    /// Takes the buffers of a frame back from the device; returns where it lies, if there is one in them.
    fn collect(&mut self) -> Option<Range<usize>> {
        let first = self.take_back()?;
        let header = self.pieces.bytes(first.clone()).get(..self.header)?;
        let flags = header[0];
        let more = match header {
            [.., low, high] if self.merges => u16::from_le_bytes([*low, *high]).saturating_sub(1),
            _ => 0,
        };
        let mut whole = first;
        for _ in 0..more {
            let next = self.take_back()?;
            whole = self.pieces.append(whole, next)?;
        }
        let frame = whole.start + self.header..whole.end;
        let bytes = self.pieces.bytes(frame.clone());
        let is_good = flags & VOUCHED != 0 || transport::verify(bytes);
        (is_good && !bytes.is_empty()).then_some(frame)
    }

    /// Takes the next buffer back; returns the bytes in it, if the device has one ready that there is.
    fn take_back(&mut self) -> Option<Range<usize>> {
        let (id, length) = self.queue.pop()?;
        let id = usize::try_from(id).ok()?;
        // A buffer that was given back twice would be lent twice.
        if id >= self.pieces.buffers || self.held.contains(&(id as u16)) {
            return None;
        }
        self.held.push(id as u16);
        let start = id * STRIDE;
        Some(start..start + (length as usize).min(STRIDE))
    }
}

/// The memory of the buffers. Its parts are named by where they are in it.
struct Pieces {
    /// The buffers, and behind them room for one frame.
    memory: NonNull<[u8]>,
    buffers: usize,
}

impl Pieces {
    fn pointer(&self, range: Range<usize>) -> NonNull<[u8]> {
        let range = range.start.min(self.memory.len())..range.end.min(self.memory.len());
        // SAFETY: It is within the memory.
        let start = unsafe { self.memory.cast::<u8>().add(range.start) };
        NonNull::slice_from_raw_parts(start, range.len())
    }

    /// Returns bytes of buffers that the device has given back.
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: The memory is initialised and never given back. The device does not write to buffers that it has given
        // back, and the stack has none while the driver looks for the next frame.
        unsafe { self.pointer(range).as_ref() }
    }

    /// Puts `next` behind `whole`; returns where all of it lies, if there is room.
    fn append(&mut self, whole: Range<usize>, next: Range<usize>) -> Option<Range<usize>> {
        if next.start == whole.end {
            return Some(whole.start..next.end);
        }
        let edge = self.buffers * STRIDE;
        let whole = match whole.end < edge {
            true => self.copy(whole, edge..edge)?,
            false => whole,
        };
        self.copy(next, whole)
    }

    /// Copies `next` to the end of `whole`, behind all buffers.
    fn copy(&mut self, next: Range<usize>, whole: Range<usize>) -> Option<Range<usize>> {
        let (to, end) = (whole.end, whole.end + next.len());
        if end > self.memory.len() {
            return None;
        }
        // SAFETY: As in `bytes`; where it is copied to is no buffer.
        unsafe { self.memory.as_mut() }.copy_within(next, to);
        Some(whole.start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four buffers, each of its own byte, and room for a frame.
    fn pieces() -> Pieces {
        let mut memory = memory::bytes(4 * STRIDE + LONGEST + STRIDE, 6).expect("memory");
        // SAFETY: It is ours.
        let bytes = unsafe { memory.as_mut() };
        for (number, buffer) in bytes.chunks_mut(STRIDE).take(4).enumerate() {
            buffer.fill(number as u8);
        }
        Pieces { memory, buffers: 4 }
    }

    fn buffer(number: usize, length: usize) -> Range<usize> {
        number * STRIDE..number * STRIDE + length
    }

    #[test]
    fn buffers_behind_each_other_are_one_piece_already() {
        let mut pieces = pieces();
        let whole = pieces.append(buffer(1, STRIDE), buffer(2, 10));
        assert_eq!(whole, Some(STRIDE..3 * STRIDE - STRIDE + 10));
    }

    #[test]
    fn what_goes_on_at_the_start_is_put_behind_the_end() {
        let mut pieces = pieces();
        let whole = pieces.append(buffer(3, STRIDE), buffer(0, STRIDE));
        let whole = pieces
            .append(whole.expect("room"), buffer(1, 5))
            .expect("room");
        assert_eq!(whole, 3 * STRIDE..5 * STRIDE + 5);
        let bytes = pieces.bytes(whole);
        let expected = [vec![3; STRIDE], vec![0; STRIDE], vec![1; 5]].concat();
        assert!(bytes == expected);
    }

    #[test]
    fn what_is_scattered_is_put_together_elsewhere() {
        let mut pieces = pieces();
        let whole = pieces.append(buffer(2, 7), buffer(0, 3)).expect("room");
        let whole = pieces.append(whole, buffer(1, 2)).expect("room");
        assert_eq!(pieces.bytes(whole), [2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 1, 1]);
        // The buffers are as they were.
        assert!(
            pieces
                .bytes(buffer(3, STRIDE))
                .iter()
                .all(|byte| *byte == 3)
        );
        let room = LONGEST + STRIDE;
        let full = 4 * STRIDE..4 * STRIDE + room - 1;
        assert_eq!(pieces.append(full, buffer(0, 2)), None, "no room");
    }

    use std::vec;
}
