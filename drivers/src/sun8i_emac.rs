//! The Ethernet controller `sun8i-emac` of Allwinner's H3, A83T and A64 (Allwinner H3 Datasheet 1.2, 8.10 "EMAC") as an
//! [`embassy_net_driver::Driver`], with its PHY over MDIO.
//!
//! Frames are neither copied nor allocated on the way: the controller reads and writes the buffers that the stack does.
//! They and the descriptors that list them are made once. The controller does not see the CPU's caches: see [`crate::dma`].

mod registers;

use crate::{
    dma::{Cached, DataCache},
    phy::{self, Events, Link, Mdio},
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    task::Context,
};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
pub use registers::Registers;
use registers::*;
use safe_mmio::{UniqueMmioPointer, field, field_shared};

/// Buffers in each direction.
const RING: usize = 32;
/// Bytes of a buffer: the longest frame with its check sequence, in whole cache lines.
const BUFFER: usize = 1536;
/// Bytes of the longest Ethernet frame without its check sequence, and of the shortest.
const LONGEST_FRAME: usize = 1514;
const SHORTEST_FRAME: usize = 60;
/// Bytes of the check sequence, which the controller leaves at the end of what it received.
const CHECK_SEQUENCE: usize = 4;
/// How often a bit that the controller is to change is looked at before that counts as never.
const PATIENCE: u32 = 1_000_000;

/// A buffer's descriptor, as the controller reads and writes it (8.10.4).
#[derive(Debug, Default)]
struct Descriptor {
    status: AtomicU32,
    control: AtomicU32,
    buffer: AtomicU32,
    next: AtomicU32,
}

type Buffer = Cached<[u8; BUFFER]>;

/// Descriptors in a circle, each with a buffer.
struct Ring {
    descriptors: Box<[Cached<Descriptor>]>,
    buffers: Box<[Buffer]>,
    /// The one that is looked at next.
    at: usize,
    cache: DataCache,
}

/// Why a controller cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EmacError {
    /// It does not come out of its reset: it has no clock, or its PHY gives it none.
    Reset,
    /// No PHY answers at any address of its MDIO bus.
    NoPhy,
}

impl fmt::Display for EmacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => {
                "the Ethernet controller does not come out of its reset: it or its PHY has no clock"
            }
            Self::NoPhy => "no Ethernet PHY answers on the controller's MDIO bus",
        })
    }
}

impl core::error::Error for EmacError {}

/// A network card.
pub struct Sun8iEmac {
    controller: Controller,
    events: &'static Events,
    mac: [u8; 6],
    phy: u8,
    link: Option<Link>,
    receive: Ring,
    transmit: Ring,
    /// The stack has the buffer before `receive.at`.
    lent: bool,
    /// The controller had no buffer for a frame.
    overrun: bool,
}

/// The controller's registers.
struct Controller(UniqueMmioPointer<'static, Registers>);

impl Sun8iEmac {
    /// Resets the controller, which must have its clocks and pins, gives it the hardware address `mac` and buffers, and
    /// lets its PHY negotiate.
    ///
    /// # Errors
    /// [`EmacError`].
    pub fn new(
        registers: UniqueMmioPointer<'static, Registers>,
        mac: [u8; 6],
        events: &'static Events,
        cache: DataCache,
    ) -> Result<Self, EmacError> {
        let mut controller = Controller(registers);
        controller.reset()?;
        let phy = phy::find(&mut controller).ok_or(EmacError::NoPhy)?;
        phy::start(&mut controller, phy);
        let this = Self {
            mac,
            events,
            phy,
            link: None,
            receive: Ring::new(cache),
            transmit: Ring::new(cache),
            lent: false,
            overrun: false,
            controller,
        };
        Ok(this.started())
    }

    /// Where its PHY is on the MDIO bus.
    pub fn phy(&self) -> u8 {
        self.phy
    }

    fn started(mut self) -> Self {
        let [a, b, c, d, e, f] = self.mac;
        field!(self.controller.0, address_high).write(u32::from_le_bytes([e, f, 0, 0]));
        field!(self.controller.0, address_low).write(u32::from_le_bytes([a, b, c, d]));
        // Groups are the stack's affair: those that it is not in, it drops.
        field!(self.controller.0, receive_filter).write(ALL_MULTICAST);
        field!(self.controller.0, basic_control_1).write(BURST_OF_8);
        field!(self.controller.0, transmit_list).write(self.transmit.address());
        field!(self.controller.0, interrupt_enable)
            .write(TRANSMITTED | RECEIVED | RECEIVE_HAS_NO_BUFFER);
        field!(self.controller.0, transmit_control_1).write(STORE_AND_FORWARD | DMA_ENABLE);
        field!(self.controller.0, transmit_control_0).write(ENABLE);
        field!(self.controller.0, receive_control_0).write(ENABLE | CHECK_FRAMES);
        // From here on frames come, those too that waited.
        self.begin_receiving();
        self
    }

    /// Asks the PHY, and sets the controller as the link is.
    fn look_at_link(&mut self) {
        let link = phy::link(&mut self.controller, self.phy);
        if let Some(link) = link.filter(|_| link != self.link) {
            let speed = match link.speed_mbps {
                1000 => SPEED_1000,
                100 => SPEED_100,
                _ => SPEED_10,
            };
            let duplex = if link.full_duplex { FULL_DUPLEX } else { 0 };
            field!(self.controller.0, basic_control_0).write(speed | duplex);
        }
        self.link = link;
        self.events.set_link(link.is_some());
    }

    /// Gives the buffer back that the stack has read.
    fn give_back(&mut self) {
        if core::mem::take(&mut self.lent) {
            let at = (self.receive.at + RING - 1) % RING;
            // What the stack wrote into it must not reach memory after what the controller will write.
            self.receive.buffers[at].take_over(self.receive.cache);
            self.receive.descriptors[at].offer(self.receive.cache);
            // The controller may have stopped for want of a buffer.
            field!(self.controller.0, receive_control_1)
                .write(STORE_AND_FORWARD | DMA_ENABLE | DMA_START);
        }
    }

    /// Returns whether a frame has come. Broken ones go back to the controller.
    fn has_frame(&mut self) -> bool {
        while !self.lent && self.receive.is_ours() {
            if self.receive.frame().is_some() {
                return true;
            }
            self.events.count_dropped();
            self.receive.at = (self.receive.at + 1) % RING;
            self.lent = true;
            self.give_back();
        }
        if self.overrun && !self.lent {
            self.begin_receiving();
        }
        false
    }

    /// Begins with the first descriptor, also anew: where a controller goes on after it had no buffer, each knows for
    /// itself, and QEMU's begins with the first, too.
    fn begin_receiving(&mut self) {
        self.overrun = false;
        field!(self.controller.0, receive_control_1).write(STORE_AND_FORWARD);
        self.receive.at = 0;
        for (descriptor, buffer) in self.receive.descriptors.iter().zip(&self.receive.buffers) {
            buffer.take_over(self.receive.cache);
            descriptor.offer(self.receive.cache);
        }
        field!(self.controller.0, receive_list).write(self.receive.address());
        field!(self.controller.0, receive_control_1)
            .write(STORE_AND_FORWARD | DMA_ENABLE | DMA_START);
    }

    /// Returns `ready`; when it is not so, remembers who waits, tells the controller that its interrupt was seen, and
    /// looks again, so that an event between the two is not lost.
    fn ready_or_listen(
        &mut self,
        context: &Context<'_>,
        ready: impl Fn(&mut Self) -> bool,
    ) -> bool {
        if ready(self) {
            return true;
        }
        self.events.listen(context);
        let seen = field_shared!(self.controller.0, interrupt_status).read();
        field!(self.controller.0, interrupt_status).write(seen);
        self.overrun |= seen & RECEIVE_HAS_NO_BUFFER != 0;
        ready(self)
    }

    fn token(&mut self) -> TxToken<'_> {
        TxToken {
            ring: &mut self.transmit,
            controller: &mut self.controller,
        }
    }
}

impl Controller {
    fn reset(&mut self) -> Result<(), EmacError> {
        field!(self.0, basic_control_1).write(SOFT_RESET);
        let done =
            (0..PATIENCE).any(|_| field_shared!(self.0, basic_control_1).read() & SOFT_RESET == 0);
        done.then_some(()).ok_or(EmacError::Reset)
    }

    fn command(&mut self, phy: u8, register: u8, write: u32) -> Option<()> {
        let place = u32::from(phy) << 12 | u32::from(register) << 4;
        field!(self.0, mdio_command).write(MDC_DIVIDED_BY_128 | place | write | MDIO_BUSY);
        (0..PATIENCE)
            .any(|_| field_shared!(self.0, mdio_command).read() & MDIO_BUSY == 0)
            .then_some(())
    }
}

impl Mdio for Controller {
    fn read(&mut self, phy: u8, register: u8) -> Option<u16> {
        self.command(phy, register, 0)?;
        Some(field_shared!(self.0, mdio_data).read() as u16)
    }

    fn write(&mut self, phy: u8, register: u8, value: u16) {
        field!(self.0, mdio_data).write(value.into());
        // A bus that does not end the command has no PHY that would hear it.
        let _ = self.command(phy, register, MDIO_WRITE);
    }
}

impl Cached<Descriptor> {
    fn status(&self, cache: DataCache) -> u32 {
        self.take_over(cache);
        self.status.load(Ordering::Acquire)
    }

    /// Hands the descriptor to the controller.
    fn submit(&self, control: u32, cache: DataCache) {
        self.control.store(control, Ordering::Relaxed);
        self.status.store(OWNED_BY_DMA, Ordering::Release);
        self.hand_over(cache);
    }

    /// Hands it over to be filled.
    fn offer(&self, cache: DataCache) {
        self.submit(CHAINED | BUFFER as u32, cache);
    }
}

impl Ring {
    fn new(cache: DataCache) -> Self {
        let descriptors = || (0..RING).map(|_| Cached::<Descriptor>::default());
        let buffers = (0..RING).map(|_| Cached::new([0; BUFFER]));
        let ring = Self {
            descriptors: descriptors().collect::<Vec<_>>().into_boxed_slice(),
            buffers: buffers.collect::<Vec<_>>().into_boxed_slice(),
            at: 0,
            cache,
        };
        for (index, (descriptor, buffer)) in ring.descriptors.iter().zip(&ring.buffers).enumerate()
        {
            let next = ring.descriptors[(index + 1) % RING].address();
            descriptor.next.store(next as u32, Ordering::Relaxed);
            let address = buffer.address() as u32;
            descriptor.buffer.store(address, Ordering::Relaxed);
            descriptor.hand_over(cache);
            buffer.take_over(cache);
        }
        ring
    }

    /// Where the controller finds the first descriptor. Its addresses have 32 bits.
    fn address(&self) -> u32 {
        self.descriptors[0].address() as u32
    }

    fn is_ours(&self) -> bool {
        self.descriptors[self.at].status(self.cache) & OWNED_BY_DMA == 0
    }

    /// The bytes of the frame in the next buffer, if it is a whole and sound one.
    fn frame(&self) -> Option<usize> {
        let status = self.descriptors[self.at].status.load(Ordering::Relaxed);
        let length = (status >> LENGTH_SHIFT & LENGTH_MASK) as usize;
        let whole = status & (FIRST | LAST) == FIRST | LAST && status & BROKEN == 0;
        let bytes = length.checked_sub(CHECK_SEQUENCE)?;
        (whole && (1..=LONGEST_FRAME).contains(&bytes)).then_some(bytes)
    }
}

impl Driver for Sun8iEmac {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.give_back();
        // A frame may need an answer: without room for one it waits in the ring.
        if !self.ready_or_listen(context, Self::has_frame)
            || !self.ready_or_listen(context, |it| it.transmit.is_ours())
        {
            return None;
        }
        let bytes = self.receive.frame()?;
        let at = self.receive.at;
        self.receive.at = (at + 1) % RING;
        self.lent = true;
        let buffer = &mut self.receive.buffers[at];
        buffer.take_over(self.receive.cache);
        let received = RxToken(&mut buffer[..bytes]);
        let answer = TxToken {
            ring: &mut self.transmit,
            controller: &mut self.controller,
        };
        Some((received, answer))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        let ready = self.ready_or_listen(context, |it| it.transmit.is_ours());
        ready.then(|| self.token())
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.events.listen(context);
        if self.events.take_look_at_link() {
            self.look_at_link();
        }
        match self.link {
            Some(_) => LinkState::Up,
            None => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = LONGEST_FRAME;
        capabilities.max_burst_size = Some(RING);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A received frame, in the buffer that the controller wrote; the buffer goes back to it with the next call of the
/// driver.
pub struct RxToken<'a>(&'a mut [u8]);

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for one frame to send.
pub struct TxToken<'a> {
    ring: &'a mut Ring,
    controller: &'a mut Controller,
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Ring {
            descriptors,
            buffers,
            at,
            cache,
        } = self.ring;
        let buffer = &mut buffers[*at];
        let length = length.min(LONGEST_FRAME);
        let result = write(&mut buffer[..length]);
        if let Some(padding) = buffer.get_mut(length..SHORTEST_FRAME) {
            padding.fill(0);
        }
        buffer.hand_over(*cache);
        let bytes = length.max(SHORTEST_FRAME) as u32;
        let control = SEND_FIRST | SEND_LAST | SEND_INTERRUPT | CHAINED | bytes;
        descriptors[*at].submit(control, *cache);
        *at = (*at + 1) % RING;
        field!(self.controller.0, transmit_control_1)
            .write(STORE_AND_FORWARD | DMA_ENABLE | DMA_START);
        result
    }
}

#[cfg(test)]
mod tests;
