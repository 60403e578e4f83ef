//! The Ethernet controller EMAC of Allwinner's A10 and A20 (A20 User Manual 1.4, "EMAC") as an
//! [`embassy_net_driver::Driver`], with its PHY over MDIO.
//!
//! It has a FIFO for received frames and two channels to send by, each of one frame. The CPU moves the words; nothing is
//! shared with the controller but its registers.

mod registers;

use crate::{
    phy::{self, Events, Link, Mdio},
    sun8i_emac::EmacError,
};
use alloc::boxed::Box;
use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
pub use registers::Registers;
use registers::*;
use safe_mmio::{UniqueMmioPointer, field, field_shared};

/// Bytes of a buffer, and the longest frame that the controller takes: a frame with its check sequence, and a little.
const BUFFER: usize = 1536;
/// Bytes of the longest Ethernet frame without its check sequence, and of the shortest.
const LONGEST_FRAME: usize = 1514;
const SHORTEST_FRAME: usize = 60;
/// Bytes of the check sequence, which the controller leaves at the end of what it received.
const CHECK_SEQUENCE: usize = 4;
/// Both channels.
const CHANNELS: u32 = 0b11;
/// How many broken frames are dropped one after the other.
const BROKEN_AT_ONCE: u32 = 32;
/// How often a bit that the controller is to change is looked at before that counts as never.
const PATIENCE: u32 = 10_000;

type Buffer = Box<[u8; BUFFER]>;

/// A network card.
pub struct Sun4iEmac {
    controller: Controller<'static>,
    events: &'static Events,
    mac: [u8; 6],
    phy: u8,
    link: Option<Link>,
    /// The frame that was taken out of the FIFO, and its bytes while nobody has read it.
    received: Buffer,
    waiting: Option<usize>,
    outgoing: Buffer,
    /// A bit for each channel that has not sent its frame yet.
    busy: u32,
}

/// What the driver wants of the controller's registers while it runs.
trait Device {
    /// Returns how many frames the receive FIFO has.
    fn frames(&mut self) -> u32;
    /// Takes a word out of the receive FIFO.
    fn take(&mut self) -> u32;
    /// Empties the receive FIFO.
    fn flush(&mut self);
    /// Sends a frame by a channel that is free, 0 or 1.
    fn send(&mut self, channel: u32, frame: &[u8]);
    /// Returns those of the interrupts `which` that are pending, and clears them.
    fn acknowledge(&mut self, which: u32) -> u32;
}

/// The controller's registers.
struct Controller<'a>(UniqueMmioPointer<'a, Registers>);

impl Sun4iEmac {
    /// Resets the controller, which must have its clock, memory and pins, gives it the hardware address `mac`, and lets
    /// its PHY negotiate.
    ///
    /// # Errors
    /// [`EmacError::NoPhy`].
    pub fn new(
        registers: UniqueMmioPointer<'static, Registers>,
        mac: [u8; 6],
        events: &'static Events,
    ) -> Result<Self, EmacError> {
        let mut controller = Controller(registers);
        controller.start(mac);
        let phy = phy::find(&mut controller).ok_or(EmacError::NoPhy)?;
        phy::start(&mut controller, phy);
        Ok(Self {
            controller,
            events,
            mac,
            phy,
            link: None,
            received: Box::new([0; BUFFER]),
            waiting: None,
            outgoing: Box::new([0; BUFFER]),
            busy: 0,
        })
    }

    /// Where its PHY is on the MDIO bus.
    pub fn phy(&self) -> u8 {
        self.phy
    }

    /// Asks the PHY, and sets the controller as the link is.
    fn look_at_link(&mut self) {
        let link = phy::link(&mut self.controller, self.phy);
        if let Some(link) = link.filter(|_| link != self.link) {
            // What was to be sent while there was no link may be stuck.
            self.controller.start(self.mac);
            self.busy = 0;
            self.controller.set_link(link);
        }
        self.link = link;
        self.events.set_link(link.is_some());
    }

    /// Returns whether a frame has come. Broken ones are dropped; what comes after very many waits for the next look.
    fn has_frame(&mut self) -> bool {
        for _ in 0..BROKEN_AT_ONCE {
            if self.waiting.is_some() || self.controller.frames() == 0 {
                break;
            }
            self.waiting = take_frame(&mut self.controller, &mut self.received);
            if self.waiting.is_none() {
                self.events.count_dropped();
            }
        }
        self.waiting.is_some()
    }

    fn has_room(&mut self) -> bool {
        self.busy != CHANNELS
    }

    /// Returns `ready`; when it is not so, remembers who waits, tells the controller that its interrupts `which` were
    /// seen, and looks again, so that an event between the two is not lost.
    fn ready_or_listen(
        &mut self,
        context: &Context<'_>,
        which: u32,
        ready: impl Fn(&mut Self) -> bool,
    ) -> bool {
        if ready(self) {
            return true;
        }
        self.events.listen(context);
        self.busy &= !done(self.controller.acknowledge(which));
        ready(self)
    }

    fn tokens(&mut self, bytes: usize) -> (RxToken<'_>, TxToken<'_>) {
        let answer = TxToken {
            controller: &mut self.controller,
            buffer: &mut self.outgoing,
            busy: &mut self.busy,
        };
        (RxToken(&mut self.received[..bytes]), answer)
    }
}

/// The channels that are free by these interrupts.
fn done(interrupts: u32) -> u32 {
    (interrupts & SENT) | (interrupts & GIVEN_UP) >> GIVEN_UP_SHIFT
}

/// Takes a frame out of the receive FIFO; returns its bytes without the check sequence, `None` of a broken one.
fn take_frame(device: &mut impl Device, buffer: &mut [u8; BUFFER]) -> Option<usize> {
    let (mark, header) = (device.take(), device.take());
    let length = (header & 0xffff) as usize;
    // What is not where a frame begins, or cannot be of one: all that comes after is wrong as well.
    if mark != MARK || !(1..=BUFFER).contains(&length) {
        device.flush();
        return None;
    }
    for piece in buffer.chunks_exact_mut(4).take(length.div_ceil(4)) {
        piece.copy_from_slice(&device.take().to_le_bytes());
    }
    let bytes = length.checked_sub(CHECK_SEQUENCE)?;
    (header & SOUND != 0 && (1..=LONGEST_FRAME).contains(&bytes)).then_some(bytes)
}

impl Controller<'_> {
    /// Resets it and sets it up.
    fn start(&mut self, mac: [u8; 6]) {
        field!(self.0, control).write(0);
        self.pass_time();
        // QEMU takes this for a reset, so it comes before all that a reset would undo.
        field!(self.0, control).write(RUN | TRANSMIT | RECEIVE);
        self.pass_time();
        self.flush();
        field!(self.0, receive_frames).write(0);
        modify(field!(self.0, mac_control_0), MAC_RESET, FLOW_CONTROL);
        let checks = CHECK_LENGTH | ADD_CHECK_SEQUENCE | PAD;
        modify(field!(self.0, mac_control_1), 0, checks);
        modify(field!(self.0, transmit_mode), 0, ABORTED_IS_DONE);
        modify(
            field!(self.0, mdio_configuration),
            MDC_MASK,
            MDC_DIVIDED_BY_72,
        );
        field!(self.0, packet_gap).write(GAP);
        field!(self.0, packet_gap_other).write(GAP_OTHER);
        field!(self.0, collision).write(COLLISION);
        field!(self.0, longest).write(BUFFER as u32);
        let [a, b, c, d, e, f] = mac;
        field!(self.0, address_high).write(u32::from_be_bytes([0, a, b, c]));
        field!(self.0, address_low).write(u32::from_be_bytes([0, d, e, f]));
        // Groups are the stack's affair: those that it is not in, it drops.
        let wanted = PASS_TYPES | ACCEPT_UNICAST | FILTER | ACCEPT_MULTICAST | ACCEPT_BROADCAST;
        field!(self.0, receive_control).write(wanted);
        self.acknowledge(u32::MAX);
        field!(self.0, interrupt_enable).write(SENT | GIVEN_UP | RECEIVED);
    }

    fn set_link(&mut self, link: Link) {
        let duplex = if link.full_duplex { FULL_DUPLEX } else { 0 };
        modify(field!(self.0, mac_control_1), FULL_DUPLEX, duplex);
        let speed = if link.speed_mbps == 100 { SPEED_100 } else { 0 };
        modify(field!(self.0, speed), SPEED_100, speed);
    }

    /// Waits for as long as a reset takes: some hundred microseconds, a few hundred nanoseconds a read.
    fn pass_time(&self) {
        for _ in 0..1000 {
            field_shared!(self.0, control).read();
        }
    }

    fn mdio_command(&mut self, phy: u8, register: u8) -> Option<()> {
        field!(self.0, mdio_address).write(u32::from(phy) << 8 | u32::from(register));
        field!(self.0, mdio_command).write(MDIO_START);
        let done = (0..PATIENCE).any(|_| field_shared!(self.0, mdio_state).read() & MDIO_BUSY == 0);
        field!(self.0, mdio_command).write(0);
        done.then_some(())
    }
}

impl Device for Controller<'_> {
    fn frames(&mut self) -> u32 {
        field_shared!(self.0, receive_frames).read()
    }

    fn take(&mut self) -> u32 {
        field!(self.0, receive_data).read()
    }

    fn flush(&mut self) {
        modify(field!(self.0, control), RECEIVE, 0);
        modify(field!(self.0, receive_control), 0, FLUSH);
        // QEMU leaves the bit as it is written.
        let _ = (0..PATIENCE).any(|_| field_shared!(self.0, receive_control).read() & FLUSH == 0);
        modify(field!(self.0, receive_control), FLUSH, 0);
        modify(field!(self.0, control), 0, RECEIVE);
    }

    fn send(&mut self, channel: u32, frame: &[u8]) {
        field!(self.0, transmit_select).write(channel);
        for piece in frame.chunks(4) {
            let mut word = [0; 4];
            word[..piece.len()].copy_from_slice(piece);
            field!(self.0, transmit_data).write(u32::from_le_bytes(word));
        }
        let channel = channel as usize;
        if let Some(mut length) = field!(self.0, transmit_length).get(channel) {
            length.write(frame.len() as u32);
        }
        if let Some(control) = field!(self.0, transmit_control).get(channel) {
            modify(control, 0, START);
        }
    }

    fn acknowledge(&mut self, which: u32) -> u32 {
        let pending = field_shared!(self.0, interrupt_status).read() & which;
        field!(self.0, interrupt_status).write(pending);
        pending
    }
}

impl Mdio for Controller<'_> {
    fn read(&mut self, phy: u8, register: u8) -> Option<u16> {
        self.mdio_command(phy, register)?;
        Some(field_shared!(self.0, mdio_read).read() as u16)
    }

    fn write(&mut self, phy: u8, register: u8, value: u16) {
        // A bus that does not end the command has no PHY that would hear it.
        if self.mdio_command(phy, register).is_some() {
            field!(self.0, mdio_write).write(value.into());
        }
    }
}

fn modify(
    mut register: UniqueMmioPointer<'_, safe_mmio::fields::ReadPureWrite<u32>>,
    clear: u32,
    set: u32,
) {
    let value = register.read() & !clear | set;
    register.write(value);
}

impl Driver for Sun4iEmac {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        const ALL: u32 = RECEIVED | SENT | GIVEN_UP;
        // A frame may need an answer: without room for one it waits.
        if !self.ready_or_listen(context, ALL, Self::has_frame)
            || !self.ready_or_listen(context, ALL, Self::has_room)
        {
            return None;
        }
        let bytes = self.waiting.take()?;
        Some(self.tokens(bytes))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        // That a frame has come is for `receive` to see.
        let ready = self.ready_or_listen(context, SENT | GIVEN_UP, Self::has_room);
        ready.then(|| self.tokens(0).1)
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
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A received frame.
pub struct RxToken<'a>(&'a mut [u8]);

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for one frame to send.
pub struct TxToken<'a> {
    controller: &'a mut Controller<'static>,
    buffer: &'a mut [u8; BUFFER],
    busy: &'a mut u32,
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        send(self.controller, self.busy, self.buffer, length, write)
    }
}

/// Has a frame of `length` bytes be written, and sends it by a free channel, padded.
fn send<R>(
    device: &mut impl Device,
    busy: &mut u32,
    buffer: &mut [u8; BUFFER],
    length: usize,
    write: impl FnOnce(&mut [u8]) -> R,
) -> R {
    let length = length.min(LONGEST_FRAME);
    let result = write(&mut buffer[..length]);
    if let Some(padding) = buffer.get_mut(length..SHORTEST_FRAME) {
        padding.fill(0);
    }
    let channel = *busy & 1;
    *busy |= 1 << channel;
    device.send(channel, &buffer[..length.max(SHORTEST_FRAME)]);
    result
}

#[cfg(test)]
mod tests;
