//! virtio network device (OASIS virtio 1.2, 5.1) as an [`embassy_net_driver::Driver`].
//!
//! Frames are neither copied nor allocated on the way: the stack reads received ones where the device wrote them, and writes
//! those to send where the device reads them. Checksums of TCP are left out both ways where the device says that it does
//! without, and segments of TCP travel together in frames of up to 64 KiB: what a frame costs at the host hardly depends
//! on its length.
//!
//! `receive` and `transmit` are the two queues. The device is told of frames to send once the stack comes to rest, by
//! [`Doorbell`], which is a task of its own.

#[cfg(not(target_os = "none"))]
pub mod hostile;
#[cfg(not(target_os = "none"))]
mod model;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;

use self::receive::Receive;
use self::transmit::Transmit;
use super::Slot;
use crate::interrupt::Interrupt;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};
use embassy_net_driver::{Capabilities, Checksum, Driver, HardwareAddress, LinkState};
use landfall_offload::segmentation::{IpVersion, LargeFrame, SegmentationOffload};
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, Transport};

/// Bytes of the longest Ethernet frame without its check sequence, as the network has them.
const LONGEST_FRAME: usize = 1514;
/// Bytes from the start of a buffer for a single frame to that of the next: the device's header and a frame.
const STRIDE: usize = 2048;
/// With so much memory the device gets buffers for long frames, and many of them.
const MUCH_MEMORY: u64 = 16 << 20;
/// Bytes of memory for which there may be one long frame on its way out, and how many such frames pay.
const MEMORY_PER_LONG_FRAME: u64 = 4 << 20;
const LONG_FRAMES: u64 = 4;
/// Bytes of Ethernet's header.
const ETHERNET_HEADER: usize = 14;
/// How often a queue is looked at before others get their turn.
const LOOKS: usize = 4;

/// Feature bits (5.1.3, 6).
mod feature {
    pub(super) const CSUM: u64 = 1 << 0;
    pub(super) const GUEST_CSUM: u64 = 1 << 1;
    pub(super) const MAC: u64 = 1 << 5;
    pub(super) const GUEST_TSO4: u64 = 1 << 7;
    pub(super) const GUEST_TSO6: u64 = 1 << 8;
    pub(super) const HOST_TSO4: u64 = 1 << 11;
    pub(super) const HOST_TSO6: u64 = 1 << 12;
    pub(super) const MRG_RXBUF: u64 = 1 << 15;
    pub(super) const STATUS: u64 = 1 << 16;
    pub(super) const EVENT_IDX: u64 = 1 << 29;
    pub(super) const VERSION_1: u64 = 1 << 32;
}

/// What device and driver have agreed on.
#[derive(Clone, Copy, Debug)]
struct Agreed(u64);

impl Agreed {
    /// Says to the device which of its features are used, with so many bytes of memory (3.1.1).
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the device does not do with these.
    fn with(slot: &mut impl Transport, memory: u64) -> Result<Self, Error> {
        use feature::*;
        let mut known = CSUM | GUEST_CSUM | MAC | STATUS | EVENT_IDX | VERSION_1;
        if memory >= MUCH_MEMORY {
            known |= MRG_RXBUF | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6;
        }
        let begun = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        slot.set_status(DeviceStatus::empty());
        slot.set_status(begun);
        let mut features = slot.read_device_features() & known;
        // Long frames come in many buffers, with checksums left out, or not at all (5.1.3.1).
        if features & MRG_RXBUF == 0 || features & GUEST_CSUM == 0 {
            features &= !(GUEST_TSO4 | GUEST_TSO6);
        }
        if features & CSUM == 0 {
            features &= !(HOST_TSO4 | HOST_TSO6);
        }
        slot.write_driver_features(features);
        slot.set_status(begun | DeviceStatus::FEATURES_OK);
        let is_modern = features & VERSION_1 != 0;
        if is_modern && !slot.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(Error::Unsupported);
        }
        slot.set_guest_page_size(virtio_drivers::PAGE_SIZE as u32);
        Ok(Self(features))
    }

    fn has(self, feature: u64) -> bool {
        self.0 & feature != 0
    }

    /// Bytes of the header before each frame (5.1.6): the older layout has no number of buffers, unless there may be more
    /// than one.
    fn header(self) -> usize {
        match self.has(feature::VERSION_1 | feature::MRG_RXBUF) {
            true => 12,
            false => 10,
        }
    }

    /// Bytes before the header, so that IP's header lies at a multiple of eight, for CPUs that read no word elsewhere.
    fn lead(self) -> usize {
        (self.header() + ETHERNET_HEADER).next_multiple_of(8) - (self.header() + ETHERNET_HEADER)
    }
}

/// What card and doorbell share.
struct Shared<T> {
    slot: T,
    interrupt: &'static Interrupt,
    receive: Receive,
    /// Where the queue stood when the device was last asked for an interrupt at the next frame.
    asked: Option<(u16, u16)>,
    transmit: Transmit,
    has_status: bool,
    link: bool,
    /// The doorbell's task, where the device does not know of all that was sent.
    doorbell: Option<Waker>,
    news: bool,
}

/// A network card.
pub struct VirtioNet<T: Transport = Slot> {
    shared: Rc<RefCell<Shared<T>>>,
    mac: [u8; 6],
}

/// What tells the device of frames to send. It is to be polled as a task, and never ends.
pub struct Doorbell<T: Transport = Slot>(Rc<RefCell<Shared<T>>>);

impl<T: Transport> VirtioNet<T> {
    /// Sets the device up on a machine with `memory` bytes, and gives it its receive buffers.
    ///
    /// # Errors
    /// What the transport reports; [`Error::DmaError`] without memory.
    pub fn new(
        mut slot: T,
        interrupt: &'static Interrupt,
        memory: u64,
    ) -> Result<(Self, Doorbell<T>), Error> {
        let agreed = Agreed::with(&mut slot, memory)?;
        let mac = slot.read_config_space(0)?;
        let long_frames = (memory / MEMORY_PER_LONG_FRAME).min(LONG_FRAMES) as usize;
        let mut receive = Receive::new(&mut slot, agreed)?;
        let transmit = Transmit::new(&mut slot, agreed, long_frames)?;
        slot.finish_init();
        receive.start(&mut slot);
        let mut shared = Shared {
            slot,
            interrupt,
            receive,
            asked: None,
            transmit,
            has_status: agreed.has(feature::STATUS),
            link: true,
            doorbell: None,
            news: false,
        };
        shared.read_link();
        let shared = Rc::new(RefCell::new(shared));
        let doorbell = Doorbell(shared.clone());
        Ok((Self { shared, mac }, doorbell))
    }
}

impl<T: Transport> Shared<T> {
    /// Reads whether the network is there (5.1.4, `VIRTIO_NET_S_LINK_UP`).
    fn read_link(&mut self) {
        if self.has_status {
            let status: u16 = self.slot.read_config_space(6).unwrap_or(1);
            self.link = status & 1 != 0;
        }
    }

    /// Acknowledges until the device has nothing more to say: where interrupts are edges, as on QEMU's `virt`, what is said
    /// between the look and the acknowledgement is no edge, and there would be none any more. Returns whether the
    /// configuration has changed.
    fn acknowledge(&mut self) -> bool {
        let mut said = InterruptStatus::empty();
        for _ in 0..LOOKS {
            let more = self.slot.ack_interrupt();
            if more.is_empty() {
                return said.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT);
            }
            said |= more;
        }
        // It goes on when others have had their turn.
        self.interrupt.signal();
        said.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT)
    }

    /// Returns whether `ready` says so. When not, `ask` asks the device for an interrupt; where something came before that,
    /// as `look_again` says, it is looked again, so that nothing is missed.
    fn ready_or_listen(
        &mut self,
        context: &Context<'_>,
        ready: fn(&mut Self) -> bool,
        ask: fn(&mut Self),
        look_again: fn(&mut Self) -> bool,
    ) -> bool {
        for _ in 0..LOOKS {
            if ready(self) {
                return true;
            }
            self.interrupt.listen(context);
            ask(self);
            // By the access to a register the device sees what was asked, and this side what the device did.
            if self.acknowledge() {
                self.read_link();
                // The link is looked at when a task begins.
                context.waker().wake_by_ref();
            }
            if !look_again(self) {
                return false;
            }
        }
        // A device that has nothing but rubbish does not keep everybody else from their turn.
        context.waker().wake_by_ref();
        false
    }

    fn has_frame(&mut self, context: &Context<'_>) -> bool {
        if self.receive.next(&mut self.slot) {
            return true;
        }
        self.interrupt.listen(context);
        let position = self.receive.position();
        if !self.interrupt.was_signalled() && position.is_some() && position == self.asked {
            // It was asked already, and nothing has happened since: an access to its registers less.
            return false;
        }
        let ready = self.ready_or_listen(
            context,
            |it| it.receive.next(&mut it.slot),
            |it| it.receive.ask_for_event(),
            |it| it.receive.look_again(&mut it.slot),
        );
        self.asked = self.receive.position().filter(|_| !ready);
        ready
    }

    fn can_transmit(&mut self, context: &Context<'_>, ready: fn(&mut Self) -> bool) -> bool {
        self.ready_or_listen(
            context,
            ready,
            |it| {
                // It works on what it knows of.
                it.ring();
                it.transmit.ask_for_event();
            },
            |it| it.transmit.look_again(),
        )
    }

    /// Tells the device of what was sent.
    fn ring(&mut self) {
        self.news = false;
        self.transmit.notify(&mut self.slot);
    }

    /// Has the doorbell tell the device.
    fn announce(&mut self) {
        if !core::mem::replace(&mut self.news, true) {
            self.doorbell.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl<T: Transport> Future for Doorbell<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.0.borrow_mut();
        if shared.news {
            shared.ring();
        }
        shared.doorbell = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T: Transport> Driver for VirtioNet<T> {
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, T>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_, T>)> {
        let mut shared = self.shared.borrow_mut();
        // A frame may need an answer: without room for one it waits in the queue.
        if !shared.can_transmit(context, |it| it.transmit.has_room()) || !shared.has_frame(context)
        {
            return None;
        }
        let frame = shared.receive.take()?;
        drop(shared);
        let answer = TxToken(&self.shared);
        let received = RxToken {
            frame,
            card: PhantomData,
        };
        Some((received, answer))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_, T>> {
        let mut shared = self.shared.borrow_mut();
        let room = shared.can_transmit(context, |it| it.transmit.has_room());
        room.then_some(TxToken(&self.shared))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        match self.shared.borrow().link {
            true => LinkState::Up,
            false => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = LONGEST_FRAME;
        // TCP's are left to the device, or made here where it refuses; received ones were looked at before the stack sees
        // the frame.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

impl<T: Transport> SegmentationOffload for VirtioNet<T> {
    fn segments(&self, version: IpVersion) -> bool {
        self.shared.borrow().transmit.segments(version)
    }

    fn send_large(
        &mut self,
        context: &mut Context<'_>,
        frame: LargeFrame,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        let mut shared = self.shared.borrow_mut();
        let room = shared.can_transmit(context, |it| it.transmit.has_long_room());
        if room {
            shared.announce();
            shared.transmit.send_large(frame, write);
        }
        room
    }
}

/// A received frame. Its buffers go back to the device with the next call of the driver.
pub struct RxToken<'a> {
    frame: NonNull<[u8]>,
    card: PhantomData<&'a mut [u8]>,
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, read: F) -> R {
        // SAFETY: Its buffers are nobody else's until the card is asked for the next frame, and as long as there is this
        // token, nobody can ask.
        read(unsafe { self.frame.as_mut() })
    }
}

/// Room for one frame to send.
pub struct TxToken<'a, T: Transport>(&'a RefCell<Shared<T>>);

impl<T: Transport> embassy_net_driver::TxToken for TxToken<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut shared = self.0.borrow_mut();
        shared.announce();
        shared.transmit.send(length, write)
    }
}
