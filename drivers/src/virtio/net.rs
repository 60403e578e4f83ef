//! virtio network device (OASIS virtio 1.2, 5.1) as an [`embassy_net_driver::Driver`].
//!
//! Frames are neither copied nor allocated on the way: the device writes into receive buffers that
//! the stack reads in place, and the stack writes into transmit buffers that the device reads in
//! place. Both sets are made once.

use super::{IdentityHal, Slot};
use crate::interrupt::Interrupt;
use alloc::{boxed::Box, vec::Vec};
use core::{ops::Range, task::Context};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use virtio_drivers::{Error, device::net::VirtIONetRaw};

/// Buffers in each direction, and descriptors in each ring.
const RING: usize = 64;
/// Bytes of a buffer: the device's header and a frame of up to 1526 bytes, the least it asks for.
const BUFFER: usize = 2048;
/// Bytes of the longest Ethernet frame without its check sequence.
const LONGEST_FRAME: usize = 1514;

type Buffer = [u8; BUFFER];

// Boxed, because the device is lent a buffer's address: a buffer must not move with its list.
#[allow(clippy::vec_box)]
type Free = Vec<Box<Buffer>>;

/// A network card.
pub struct VirtioNet {
    device: VirtIONetRaw<IdentityHal, Slot, RING>,
    interrupt: &'static Interrupt,
    /// Indexed by the token of the descriptor that lends the buffer to the device.
    receive: Lent,
    transmit: Lent,
    /// Transmit buffers that the device does not have.
    free: Free,
    /// The receive buffer that the stack read last.
    read: Option<Box<Buffer>>,
}

/// Which buffer the device holds under which token.
struct Lent([Option<Box<Buffer>>; RING]);

impl Lent {
    const fn new() -> Self {
        Self([const { None }; RING])
    }

    fn put(&mut self, token: u16, buffer: Box<Buffer>) {
        self.0[usize::from(token) % RING] = Some(buffer);
    }

    /// Takes the buffer of a token back; `None` for a token that the device made up.
    fn take(&mut self, token: u16) -> Option<Box<Buffer>> {
        self.0.get_mut(usize::from(token))?.take()
    }
}

impl VirtioNet {
    /// Sets the device up and gives it its receive buffers.
    ///
    /// # Errors
    /// What the transport reports, out of memory among it.
    pub fn new(slot: Slot, interrupt: &'static Interrupt) -> Result<Self, Error> {
        let mut this = Self {
            device: VirtIONetRaw::new(slot)?,
            interrupt,
            receive: Lent::new(),
            transmit: Lent::new(),
            free: Vec::with_capacity(RING),
            read: None,
        };
        for _ in 0..RING {
            this.lend_receive_buffer(Box::new([0; BUFFER]))?;
            this.free.push(Box::new([0; BUFFER]));
        }
        Ok(this)
    }

    fn lend_receive_buffer(&mut self, mut buffer: Box<Buffer>) -> Result<(), Error> {
        // SAFETY: The buffer stays in `receive`, untouched, until `receive_complete` gives it back.
        let token = unsafe { self.device.receive_begin(&mut buffer[..]) }?;
        self.receive.put(token, buffer);
        Ok(())
    }

    /// Takes the next received frame: its buffer, and where in it the frame lies.
    ///
    /// A completion without a frame in it is dropped.
    fn next_frame(&mut self) -> Option<(Box<Buffer>, Range<usize>)> {
        loop {
            let token = self.device.poll_receive()?;
            let mut buffer = self.receive.take(token)?;
            // SAFETY: `receive` held the very buffer that was lent under this token.
            let frame = unsafe { self.device.receive_complete(token, &mut buffer[..]) };
            match frame {
                Ok((start, length)) if length > 0 && start + length <= BUFFER => {
                    return Some((buffer, start..start + length));
                }
                _ => self.lend_receive_buffer(buffer).ok()?,
            }
        }
    }

    /// Returns whether a transmit buffer is at hand, after taking back those the device is done
    /// with.
    fn can_transmit(&mut self) -> bool {
        if self.free.is_empty() {
            while let Some(token) = self.device.poll_transmit() {
                let Some(buffer) = self.transmit.take(token) else {
                    break;
                };
                // SAFETY: `transmit` held the very buffer that was lent under this token.
                let _ = unsafe { self.device.transmit_complete(token, &buffer[..]) };
                self.free.push(buffer);
            }
        }
        !self.free.is_empty()
    }

    /// Returns `ready`; when it is not so, remembers who waits, tells the device that its
    /// interrupt was seen, and looks again, so that an event between the two is not lost.
    fn ready_or_listen(
        &mut self,
        context: &Context<'_>,
        ready: impl Fn(&mut Self) -> bool,
    ) -> bool {
        if ready(self) {
            return true;
        }
        self.interrupt.listen(context);
        let _ = self.device.ack_interrupt();
        ready(self)
    }
}

impl Driver for VirtioNet {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        if let Some(buffer) = self.read.take() {
            // Refused only by a ring without room, which has it: the buffer came from there.
            self.lend_receive_buffer(buffer).ok()?;
        }
        // A frame may need an answer: without room for one it waits in the ring.
        if !self.ready_or_listen(context, |it| it.device.poll_receive().is_some())
            || !self.ready_or_listen(context, Self::can_transmit)
        {
            return None;
        }
        let (buffer, frame) = self.next_frame()?;
        let received = RxToken {
            buffer: self.read.insert(buffer),
            frame,
        };
        let answer = TxToken {
            device: &mut self.device,
            lent: &mut self.transmit,
            free: &mut self.free,
        };
        Some((received, answer))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        self.ready_or_listen(context, Self::can_transmit)
            .then_some(TxToken {
                device: &mut self.device,
                lent: &mut self.transmit,
                free: &mut self.free,
            })
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = LONGEST_FRAME;
        capabilities.max_burst_size = Some(RING);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.device.mac_address())
    }
}

/// A received frame, in the buffer that the device wrote; the buffer goes back to the device with
/// the next call of the driver.
pub struct RxToken<'a> {
    buffer: &'a mut Box<Buffer>,
    frame: Range<usize>,
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(&mut self.buffer[self.frame])
    }
}

/// Room for one frame to send.
pub struct TxToken<'a> {
    device: &'a mut VirtIONetRaw<IdentityHal, Slot, RING>,
    lent: &'a mut Lent,
    free: &'a mut Free,
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut buffer = self
            .free
            .pop()
            .expect("a token is made only while a buffer is free");
        let header = self.device.fill_buffer_header(&mut buffer[..]).unwrap_or(0);
        let end = header + length.min(LONGEST_FRAME);
        let result = write(&mut buffer[header..end]);
        // SAFETY: The buffer stays in `lent`, untouched, until `transmit_complete` gives it back.
        match unsafe { self.device.transmit_begin(&buffer[..end]) } {
            Ok(token) => self.lent.put(token, buffer),
            // A full ring cannot be, with as many descriptors as buffers; the frame is dropped, as
            // a wire would.
            Err(_) => self.free.push(buffer),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_its_buffer_back_once() {
        let mut lent = Lent::new();
        lent.put(5, Box::new([7; BUFFER]));
        assert_eq!(lent.take(5).unwrap()[0], 7);
        assert!(lent.take(5).is_none(), "completed twice");
    }

    #[test]
    fn a_token_that_the_device_made_up_gives_nothing() {
        let mut lent = Lent::new();
        for token in [0, RING as u16, u16::MAX] {
            assert!(lent.take(token).is_none(), "{token}");
        }
    }
}
