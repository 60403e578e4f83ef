//! The card as the IP stack sees it.

use super::{
    Broken, Counters, ETHERNET_HEADER, Netfront, Status, receive::Receive, transmit::Transmit,
};
use crate::events::EventChannel;
use core::{
    cell::RefCell,
    task::{Context, Poll, Waker},
};
use embassy_net_driver::{Capabilities, Checksum, Driver, HardwareAddress, LinkState};
use landfall_offload::segmentation::{IpVersion, LargeFrame, SegmentationOffload};

/// How often a ring is looked at before others get their turn.
const LOOKS: usize = 4;

/// What the card and its connection share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// None while there is no backend.
    pub(super) rings: Option<Rings>,
    /// The backend has a carrier.
    pub(super) link: bool,
    pub(super) counters: Counters,
    /// Why the connection must end.
    pub(super) broken: Option<Broken>,
    /// The stack, which waits for a link.
    pub(super) stack: Option<Waker>,
    /// The connection, which is to notify the backend.
    pub(super) connection: Option<Waker>,
    /// The stack has sent something since the last notification.
    pub(super) news: bool,
    pub(super) status: Status,
}

/// A connection's rings and event channels.
#[derive(Debug)]
pub(super) struct Rings {
    pub(super) receive: Receive,
    pub(super) transmit: Transmit,
    pub(super) transmit_event: EventChannel,
    /// None: events of both rings come through `transmit_event`.
    pub(super) receive_event: Option<EventChannel>,
}

impl Rings {
    fn receive_event(&self) -> &EventChannel {
        self.receive_event.as_ref().unwrap_or(&self.transmit_event)
    }

    /// Tells the backend of frames to send, if it wants to know.
    pub(super) fn notify(&mut self) {
        if self.transmit.must_notify() {
            self.transmit_event.notify();
        }
    }
}

impl Shared {
    /// Has the connection's task look after the rings.
    fn wake_connection(&mut self) {
        self.connection.take().into_iter().for_each(Waker::wake);
    }

    fn announce(&mut self) {
        if !core::mem::replace(&mut self.news, true) {
            self.wake_connection();
        }
    }

    fn break_off(&mut self, why: Broken) {
        self.broken.get_or_insert(why);
        self.link = false;
        self.wake_connection();
    }

    /// Returns what `ready` finds. When there is nothing, `listen` asks to be told; it is ready when
    /// something came before that, or was not told of. Then it is looked again, so that nothing is
    /// missed.
    fn ready_or_listen<T>(
        &mut self,
        context: &Context<'_>,
        ready: impl Fn(&mut Rings, &mut Counters) -> Result<Option<T>, Broken>,
        listen: fn(&mut Rings, &Context<'_>) -> Poll<()>,
    ) -> Option<T> {
        for _ in 0..LOOKS {
            let found = self.look(&ready);
            if found.is_some() || self.broken.is_some() {
                return found;
            }
            if listen(self.rings.as_mut()?, context).is_pending() {
                return None;
            }
        }
        // A backend that has nothing but rubbish does not keep everybody else from their turn.
        context.waker().wake_by_ref();
        None
    }

    /// Returns what `ready` finds; a backend that breaks the protocol is not listened to any more.
    fn look<T>(
        &mut self,
        ready: impl Fn(&mut Rings, &mut Counters) -> Result<Option<T>, Broken>,
    ) -> Option<T> {
        let rings = self.rings.as_mut().filter(|_| self.broken.is_none())?;
        ready(rings, &mut self.counters).unwrap_or_else(|why| {
            self.break_off(why);
            None
        })
    }

    /// Has a frame sent as `send` does, or written to nowhere while there is no backend.
    fn send<R, W: FnOnce(&mut [u8]) -> R>(
        &mut self,
        length: usize,
        write: W,
        send: impl FnOnce(&mut Transmit, &mut Counters, W) -> R,
    ) -> R {
        self.announce();
        match &mut self.rings {
            Some(rings) => send(&mut rings.transmit, &mut self.counters, write),
            None => write(&mut alloc::vec![0; length]),
        }
    }

    fn stack_waits(&mut self, context: &Context<'_>) {
        match &mut self.stack {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    fn receive(&mut self, context: &Context<'_>) -> Option<usize> {
        self.ready_or_listen(
            context,
            |rings, counters| rings.receive.next(counters),
            |rings, context| {
                // The pages of a batch went back to the backend, which may wait for them.
                if rings.receive.must_notify() {
                    rings.receive_event().notify();
                }
                if rings.receive.ask_for_event() {
                    return Poll::Ready(());
                }
                rings.receive_event().poll_event(context)
            },
        )
    }

    fn can_transmit(
        &mut self,
        context: &Context<'_>,
        room: fn(&mut Transmit, &mut Counters) -> Result<bool, Broken>,
    ) -> bool {
        let room = self.ready_or_listen(
            context,
            |rings, counters| Ok(room(&mut rings.transmit, counters)?.then_some(())),
            |rings, context| {
                if rings.transmit.ask_for_event() {
                    return Poll::Ready(());
                }
                let event = rings.transmit_event.poll_event(context);
                if event.is_ready() && rings.receive_event.is_none() {
                    // It may have been about a frame that came: the stack looks again.
                    context.waker().wake_by_ref();
                }
                event
            },
        );
        room.is_some()
    }
}

impl Driver for Netfront {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let mut shared = self.shared.borrow_mut();
        // A frame may need an answer: without room for one it waits in the ring.
        if !shared.can_transmit(context, Transmit::make_room) {
            return None;
        }
        let length = shared.receive(context)?;
        let received = RxToken {
            shared: &self.shared,
            length,
        };
        let answer = TxToken {
            shared: &self.shared,
        };
        Some((received, answer))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        let mut shared = self.shared.borrow_mut();
        let room = shared.can_transmit(context, Transmit::make_room);
        room.then_some(TxToken {
            shared: &self.shared,
        })
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        let mut shared = self.shared.borrow_mut();
        shared.stack_waits(context);
        match shared.link && shared.rings.is_some() {
            true => LinkState::Up,
            false => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER;
        // TCP's are left to the backend, or done here where it refuses (`offload`); received ones
        // were looked at before the stack sees the frame.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

impl SegmentationOffload for Netfront {
    fn segments(&self, version: IpVersion) -> bool {
        let shared = self.shared.borrow();
        let rings = shared.rings.as_ref();
        rings.is_some_and(|it| it.transmit.segments(version))
    }

    fn send_large(
        &mut self,
        context: &mut Context<'_>,
        frame: LargeFrame,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        let mut shared = self.shared.borrow_mut();
        if !shared.can_transmit(context, Transmit::make_long_room) {
            let version = frame.version;
            let rings = shared.rings.as_ref();
            if rings.is_some_and(|it| !it.transmit.segments(version)) {
                // There is no memory for a long buffer: the stack sends single segments from now on.
                context.waker().wake_by_ref();
            }
            return false;
        }
        shared.send(frame.length, write, |transmit, counters, write| {
            transmit.send_large(frame, counters, write);
        });
        true
    }
}

/// A received frame, in this domain's own memory.
pub struct RxToken<'a> {
    shared: &'a RefCell<Shared>,
    length: usize,
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        // The stack answers within `read`, through the other token: the frame leaves the shared
        // state for as long.
        let mut frame = {
            let mut shared = self.shared.borrow_mut();
            shared
                .rings
                .as_mut()
                .map_or_else(Default::default, |it| it.receive.take_frame())
        };
        let end = self.length.min(frame.len());
        let result = read(&mut frame[..end]);
        if let Some(rings) = &mut self.shared.borrow_mut().rings {
            rings.receive.put_frame_back(frame);
        }
        result
    }
}

/// Room for one frame to send.
pub struct TxToken<'a> {
    shared: &'a RefCell<Shared>,
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut shared = self.shared.borrow_mut();
        shared.send(length, write, |transmit, counters, write| {
            transmit.send(length, counters, write)
        })
    }
}
