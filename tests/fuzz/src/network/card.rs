//! A network card whose other side is the script.

use core::task::{Context, Waker};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use landfall_offload::segmentation::SegmentationOffload;

use super::MAC;

#[derive(Default)]
struct State {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
    is_down: bool,
    /// How many frames it takes until they are looked at; `None` for any number.
    room: Option<usize>,
    waker: Option<Waker>,
}

/// Clones are the same card.
#[derive(Clone, Default)]
pub(super) struct Card(Rc<RefCell<State>>);

impl Card {
    pub(super) fn arrive(&self, frame: Vec<u8>) {
        let mut state = self.0.borrow_mut();
        state.incoming.push_back(frame);
        state.wake();
    }

    /// Takes what was sent.
    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
        let mut state = self.0.borrow_mut();
        let frames = core::mem::take(&mut state.outgoing);
        if state.room.is_some() && !frames.is_empty() {
            state.wake();
        }
        frames
    }

    /// Changes the link and the room for frames; 0 is a sound card.
    pub(super) fn change(&self, how: u8) {
        let mut state = self.0.borrow_mut();
        state.is_down = how & 1 != 0;
        state.room = (how & 2 != 0).then_some(usize::from(how >> 2 & 3));
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn is_full(&self) -> bool {
        self.room.is_some_and(|room| self.outgoing.len() >= room)
    }
}

impl SegmentationOffload for Card {}

impl Driver for Card {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Frame, Slot<'_>)> {
        let mut state = self.0.borrow_mut();
        state.waker = Some(context.waker().clone());
        if state.is_full() {
            return None;
        }
        let frame = state.incoming.pop_front()?;
        drop(state);
        Some((Frame(frame), Slot(self)))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Slot<'_>> {
        let mut state = self.0.borrow_mut();
        state.waker = Some(context.waker().clone());
        let is_full = state.is_full();
        drop(state);
        (!is_full).then_some(Slot(self))
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        let mut state = self.0.borrow_mut();
        state.waker = Some(context.waker().clone());
        match state.is_down {
            true => LinkState::Down,
            false => LinkState::Up,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(MAC)
    }
}

pub(super) struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, read: F) -> R {
        read(&mut self.0)
    }
}

pub(super) struct Slot<'a>(&'a mut Card);

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        assert!((14..=1514).contains(&length), "a frame of {length} bytes");
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.0.borrow_mut().outgoing.push(frame);
        result
    }
}
