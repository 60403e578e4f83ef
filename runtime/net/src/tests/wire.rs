//! A wire with two ends that loses, repeats, reorders and corrupts frames as its seed says.

use core::task::{Context, Waker};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec::Vec;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use landfall_offload::segmentation::{IpVersion, LargeFrame, SegmentationOffload};
use landfall_offload::{checksum, transport};

use super::{Random, clock};
use crate::clock::{Duration, Instant};

/// What happens to frames, each per mille.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) loss: usize,
    pub(super) duplicate: usize,
    pub(super) reorder: usize,
    /// A bit of an IPv4 packet is another. (Ethernet's check sequence is not on this wire, nor is what it catches.)
    pub(super) corrupt: usize,
    /// How many frames fit on the wire in one direction; 0 for no limit.
    pub(super) capacity: usize,
    /// Microseconds that every frame takes longer.
    pub(super) delay_us: u64,
    /// Other faults of the same kind.
    pub(super) seed: u64,
    /// Cards cut segments.
    pub(super) segments: bool,
}

#[derive(Default)]
struct Direction {
    frames: BTreeMap<(Instant, u64), Vec<u8>>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

struct State {
    faults: Faults,
    random: Random,
    count: u64,
    /// By the end that the frames go to.
    to: [Direction; 2],
    up: bool,
    watchers: [Option<Waker>; 2],
    /// Every frame that was sent, if wanted.
    record: Option<Vec<Vec<u8>>>,
    /// Whether frames go nowhere, for a peer that vanished.
    cut: bool,
    /// Corrupted frames that were delivered.
    corrupted: u64,
}

/// The wire.
#[derive(Clone)]
pub(super) struct Wire(Rc<RefCell<State>>);

const LATENCY: Duration = Duration::from_micros(100);

impl Wire {
    pub(super) fn new(faults: Faults) -> Wire {
        Wire(Rc::new(RefCell::new(State {
            faults,
            random: Random(99 + faults.seed),
            count: 0,
            to: Default::default(),
            up: true,
            watchers: [None, None],
            record: None,
            cut: false,
            corrupted: 0,
        })))
    }

    pub(super) fn end(&self, side: usize) -> End {
        End {
            wire: self.clone(),
            side,
        }
    }

    pub(super) fn hardware(side: usize) -> [u8; 6] {
        [2, 0, 0, 0, 0, side as u8 + 1]
    }

    /// Delivers a frame to one end, without faults.
    pub(super) fn inject(&self, side: usize, frame: &[u8]) {
        self.0
            .borrow_mut()
            .deliver(side, frame.to_vec(), clock::now());
    }

    /// Takes the oldest frame that is on its way to one end.
    pub(super) fn take(&self, side: usize) -> Option<Vec<u8>> {
        let mut state = self.0.borrow_mut();
        let (_, frame) = state.to[side].frames.pop_first()?;
        wake(&mut state.to[side].sender);
        Some(frame)
    }

    pub(super) fn record(&self) {
        self.0.borrow_mut().record = Some(Vec::new());
    }

    pub(super) fn recorded(&self) -> Vec<Vec<u8>> {
        self.0.borrow_mut().record.take().unwrap_or_default()
    }

    /// Returns how many corrupted frames were delivered, to both ends.
    pub(super) fn corrupted(&self) -> u64 {
        self.0.borrow().corrupted
    }

    pub(super) fn cut(&self, cut: bool) {
        self.0.borrow_mut().cut = cut;
    }

    pub(super) fn set_link(&self, up: bool) {
        let mut state = self.0.borrow_mut();
        state.up = up;
        for watcher in &mut state.watchers {
            wake(watcher);
        }
    }
}

impl State {
    fn per_mille(&mut self, probability: usize) -> bool {
        probability > 0 && self.random.below(1000) < probability
    }

    fn send(&mut self, side: usize, mut frame: Vec<u8>) {
        if let Some(record) = &mut self.record {
            record.push(frame.clone());
        }
        let faults = self.faults;
        if self.cut || !self.up || self.per_mille(faults.loss) {
            return;
        }
        let corrupt = frame[12..14] == [8, 0] && self.per_mille(faults.corrupt);
        if corrupt {
            let at = 14 + self.random.below(frame.len() - 14);
            frame[at] ^= 1 << self.random.below(8);
            self.corrupted += 1;
        }
        let mut at = clock::now() + LATENCY + Duration::from_micros(faults.delay_us);
        if self.per_mille(faults.reorder) {
            at += Duration::from_micros(self.random.below(2000) as u64);
        }
        if self.per_mille(faults.duplicate) {
            self.corrupted += u64::from(corrupt);
            self.deliver(side, frame.clone(), at + LATENCY);
        }
        self.deliver(side, frame, at);
    }

    fn deliver(&mut self, side: usize, frame: Vec<u8>, at: Instant) {
        self.count += 1;
        let direction = &mut self.to[side];
        direction.frames.insert((at, self.count), frame);
        wake(&mut direction.receiver);
    }
}

/// One end of the wire, as a network device.
pub(super) struct End {
    wire: Wire,
    side: usize,
}

impl Driver for End {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Frame, Slot<'_>)> {
        let side = self.side;
        let mut state = self.wire.0.borrow_mut();
        let direction = &mut state.to[side];
        direction.receiver = Some(cx.waker().clone());
        let (&(at, count), _) = direction.frames.first_key_value()?;
        if at > clock::now() {
            clock::schedule(at, cx);
            return None;
        }
        let frame = direction.frames.remove(&(at, count))?;
        wake(&mut direction.sender);
        drop(state);
        Some((Frame(frame), Slot(self)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Slot<'_>> {
        let mut state = self.wire.0.borrow_mut();
        let capacity = state.faults.capacity;
        let direction = &mut state.to[1 - self.side];
        if capacity > 0 && direction.frames.len() >= capacity {
            direction.sender = Some(cx.waker().clone());
            return None;
        }
        drop(state);
        Some(Slot(self))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let mut state = self.wire.0.borrow_mut();
        state.watchers[self.side] = Some(cx.waker().clone());
        if state.up {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(Wire::hardware(self.side))
    }
}

impl SegmentationOffload for End {
    fn segments(&self, _: IpVersion) -> bool {
        self.wire.0.borrow().faults.segments
    }

    fn send_large(
        &mut self,
        cx: &mut Context<'_>,
        large: LargeFrame,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        if self.transmit(cx).is_none() {
            return false;
        }
        let mut frame = std::vec![0; large.length];
        write(&mut frame);
        for segment in cut(&frame, large) {
            self.wire.0.borrow_mut().send(1 - self.side, segment);
        }
        true
    }
}

/// The segments of a large frame, whole and with their checksums.
fn cut(frame: &[u8], large: LargeFrame) -> Vec<Vec<u8>> {
    let (headers, data) = frame.split_at(large.headers);
    assert!(data.len() > large.mss.into(), "no need to cut");
    let tcp = match large.version {
        IpVersion::V4 => 34,
        IpVersion::V6 => 54,
    };
    let mut segments = Vec::new();
    for (number, piece) in data.chunks(large.mss.into()).enumerate() {
        let mut segment = [headers, piece].concat();
        let place = &mut segment[tcp + 4..tcp + 8];
        let first = u32::from_be_bytes([place[0], place[1], place[2], place[3]]);
        let sequence = first.wrapping_add(number as u32 * u32::from(large.mss));
        place.copy_from_slice(&sequence.to_be_bytes());
        if (number + 1) * usize::from(large.mss) < data.len() {
            // PSH and FIN are said by the last.
            segment[tcp + 13] &= !9;
        }
        let length = segment.len();
        match large.version {
            IpVersion::V4 => {
                segment[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
                segment[24..26].fill(0);
                let sum = !checksum::sum(&segment[14..34]);
                segment[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            IpVersion::V6 => {
                segment[18..20].copy_from_slice(&((length - 54) as u16).to_be_bytes());
            }
        }
        transport::fill(&mut segment);
        segments.push(segment);
    }
    segments
}

pub(super) struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

pub(super) struct Slot<'a>(&'a mut End);

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = std::vec![0; length];
        let result = f(&mut frame);
        self.0.wire.0.borrow_mut().send(1 - self.0.side, frame);
        result
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
