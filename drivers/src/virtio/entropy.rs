//! virtio entropy device (OASIS virtio 1.2, 5.4).
//!
//! It answers when its host has random bytes, which can take its time: nobody waits here. The driver asks, and
//! whoever wants the bytes looks later whether they have come.

use super::{Slot, memory, queue::Queue};
use core::sync::atomic::{AtomicU8, Ordering};
use virtio_drivers::{
    Error,
    device::common::Feature,
    transport::{DeviceStatus, Transport},
};

/// Bytes of an answer, at most.
pub const ANSWER: usize = 512;

/// The one queue, `requestq` (5.4.2).
const QUEUE: u16 = 0;
/// Its descriptors; QEMU's device has no more.
const SIZE: usize = 8;
/// The one descriptor in use.
const BUFFER: u16 = 0;

/// An entropy device.
pub struct VirtioEntropy {
    slot: Slot,
    queue: Queue<SIZE>,
    buffer: &'static [AtomicU8; ANSWER],
    /// The device has the buffer.
    is_lent: bool,
}

impl VirtioEntropy {
    /// Sets the device up and asks it for bytes.
    ///
    /// # Errors
    /// What the transport reports, out of memory among it.
    pub fn new(mut slot: Slot) -> Result<Self, Error> {
        slot.begin_init(Feature::VERSION_1);
        // It is looked at, not waited for.
        let mut queue = Queue::new(&mut slot, QUEUE, false)?;
        let buffer = memory::value::<[AtomicU8; ANSWER]>()?;
        // SAFETY: Nobody else's, never given back, and all zeros, which are atomic numbers.
        let buffer: &'static [AtomicU8; ANSWER] = unsafe { buffer.as_ref() };
        queue.describe(BUFFER, buffer.as_ptr().addr(), ANSWER, true);
        slot.finish_init();
        let mut this = Self {
            slot,
            queue,
            buffer,
            is_lent: false,
        };
        this.ask();
        Ok(this)
    }

    /// Asks for bytes, unless an answer is outstanding.
    pub fn ask(&mut self) {
        if !self.is_lent {
            self.is_lent = true;
            self.queue.lend(BUFFER);
            self.queue.notify_anyway(&mut self.slot);
        }
    }

    /// Reads the answer into `bytes`; returns as much of it as the device gave, `None` while there is no answer.
    pub fn answer<'a>(&mut self, bytes: &'a mut [u8; ANSWER]) -> Option<&'a [u8]> {
        let (id, given) = self.queue.pop()?;
        if id != BUFFER.into() || !core::mem::take(&mut self.is_lent) {
            // It answers what it was not asked.
            return None;
        }
        for (byte, shared) in bytes.iter_mut().zip(self.buffer) {
            *byte = shared.load(Ordering::Relaxed);
        }
        bytes.get(..(given as usize).min(ANSWER))
    }
}

impl Drop for VirtioEntropy {
    fn drop(&mut self) {
        self.slot.set_status(DeviceStatus::empty());
    }
}
