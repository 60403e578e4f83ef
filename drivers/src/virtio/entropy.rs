//! virtio entropy device (OASIS virtio 1.2, 5.4).
//!
//! It answers when its host has random bytes, which can take its time: nobody waits here. The driver asks, and
//! whoever wants the bytes looks later whether they have come.

use super::{IdentityHal, Slot};
use alloc::boxed::Box;
use virtio_drivers::{
    Error,
    device::common::Feature,
    queue::VirtQueue,
    transport::{DeviceStatus, Transport},
};

/// Bytes of an answer, at most.
pub const ANSWER: usize = 512;

/// The one queue, `requestq` (5.4.2).
const QUEUE: u16 = 0;
/// Its descriptors; QEMU's device has no more.
const SIZE: usize = 8;

/// An entropy device.
pub struct VirtioEntropy {
    transport: Slot,
    queue: VirtQueue<IdentityHal, SIZE>,
    /// Lent to the device while a token says so; boxed, because its address must not change.
    buffer: Box<[u8; ANSWER]>,
    token: Option<u16>,
}

impl VirtioEntropy {
    /// Sets the device up and asks it for bytes.
    ///
    /// # Errors
    /// What the transport reports, out of memory among it.
    pub fn new(mut transport: Slot) -> Result<Self, Error> {
        transport.begin_init(Feature::VERSION_1);
        let mut queue = VirtQueue::new(&mut transport, QUEUE, false, false)?;
        // It is looked at, not waited for.
        queue.set_dev_notify(false);
        transport.finish_init();
        let mut this = Self {
            transport,
            queue,
            buffer: Box::new([0; ANSWER]),
            token: None,
        };
        this.ask()?;
        Ok(this)
    }

    /// Asks for bytes, unless an answer is outstanding.
    ///
    /// # Errors
    /// What the queue reports.
    pub fn ask(&mut self) -> Result<(), Error> {
        if self.token.is_none() {
            // SAFETY: The buffer is not touched while `token` says that it is lent, and `drop` resets the device
            // first.
            let token = unsafe { self.queue.add(&[], &mut [&mut self.buffer[..]]) }?;
            self.token = Some(token);
            if self.queue.should_notify() {
                self.transport.notify(QUEUE);
            }
        }
        Ok(())
    }

    /// Returns the answer, as many bytes as the device gave; `None` while there is none.
    ///
    /// # Errors
    /// [`Error::WrongToken`] where the device answers what it was not asked; it is of no more use.
    pub fn answer(&mut self) -> Result<Option<&[u8]>, Error> {
        let Some(token) = self.token.filter(|_| self.queue.can_pop()) else {
            return Ok(None);
        };
        // SAFETY: The very buffer that was lent under this token.
        let given = unsafe { self.queue.pop_used(token, &[], &mut [&mut self.buffer[..]]) }?;
        self.token = None;
        Ok(self.buffer.get(..(given as usize).min(ANSWER)))
    }
}

impl Drop for VirtioEntropy {
    fn drop(&mut self) {
        self.transport.set_status(DeviceStatus::empty());
    }
}
