//! A whole card against a backend, from the keys in xenstore to frames.

use super::{receive, transmit};
use crate::{
    grants::GrantTable,
    netfront::{Monitor, Netfront, Status, device::Rings},
    ring::peer,
    xenstore::tests::world::World,
};
use alloc::{boxed::Box, format, rc::Rc, string::String, sync::Arc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll, Waker},
};
use embassy_net_driver::{Driver, LinkState, RxToken, TxToken};
use landfall_offload::segmentation::{IpVersion, LargeFrame, SegmentationOffload};
use std::task::Wake;

/// The backend's folder.
const FOLDER: &str = "/local/domain/0/backend/vif/5/0";

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bench {
    world: World,
    card: Netfront,
    monitor: Monitor,
    grants: GrantTable,
    /// How often the connection may be tried again.
    tries: Rc<Cell<u32>>,
    /// Waits for that.
    waiting: Rc<RefCell<Option<Waker>>>,
    stack: Arc<Woken>,
}

impl Bench {
    /// A card whose backend has `features` and waits.
    fn new(features: &[&str]) -> Self {
        let mut world = World::new(1, 5000);
        world.set("device/vif/0/mac", "00:16:3e:00:00:01");
        world.set("device/vif/0/backend", FOLDER);
        world.set("device/vif/0/backend-id", "0");
        world.set("device/vif/0/state", "1");
        world.set(&format!("{FOLDER}/online"), "1");
        for feature in features {
            world.set(&format!("{FOLDER}/{feature}"), "1");
        }
        world.set(&format!("{FOLDER}/state"), "2");
        let store = world.store.clone();
        let card = world.run(async move { Netfront::new(&store, 0).await });
        let (card, grants) = (card.unwrap(), GrantTable::on_host(4).0);
        let connection = card.connection(&world.channels, &grants, 8);
        let mut bench = Self {
            monitor: connection.monitor(),
            tries: Rc::default(),
            waiting: Rc::default(),
            stack: Arc::default(),
            world,
            card,
            grants,
        };
        let (tries, waiting) = (bench.tries.clone(), bench.waiting.clone());
        bench
            .world
            .spawn(async move { connection.run(async || pause(&tries, &waiting).await).await });
        bench.world.settle();
        bench
    }

    /// A card that is connected.
    fn connected(features: &[&str]) -> Self {
        let mut bench = Self::new(features);
        assert_eq!(bench.frontend("state"), "4");
        bench.set_backend("4");
        assert!(bench.monitor.is_connected(), "{}", bench.monitor.status());
        bench
    }

    fn set_backend(&mut self, state: &str) {
        self.world.set(&format!("{FOLDER}/state"), state);
        self.world.settle();
    }

    /// Returns what the frontend wrote.
    fn frontend(&self, key: &str) -> String {
        let model = self.world.model.borrow();
        let value = model.get(&format!("device/vif/0/{key}"));
        String::from_utf8(value.expect("the frontend wrote it").into()).unwrap()
    }

    fn try_again(&mut self) {
        self.tries.set(self.tries.get() + 1);
        self.waiting.take().into_iter().for_each(Waker::wake);
        self.world.settle();
    }

    fn with_rings<R>(&self, look: impl FnOnce(&Rings) -> R) -> R {
        look(self.card.shared.borrow().rings.as_ref().unwrap())
    }

    fn receiver(&self) -> receive::Backend {
        self.with_rings(|it| receive::Backend::new(&it.receive, 0))
    }

    fn sender(&self) -> transmit::Backend {
        self.with_rings(|it| transmit::Backend::new(&it.transmit, 0))
    }

    /// The stack sends a frame of segments, if the card takes it.
    fn send_segments(&mut self, version: IpVersion) -> bool {
        if !self.card.segments(version) {
            return false;
        }
        let frame = transmit::segments(version, 1, 3000);
        let large = LargeFrame {
            length: frame.len(),
            headers: frame.len() - 3000,
            mss: 1000,
            version,
        };
        let waker = Waker::from(self.stack.clone());
        let write = |place: &mut [u8]| place.copy_from_slice(&frame);
        self.card
            .send_large(&mut Context::from_waker(&waker), large, write)
    }

    /// The stack asks for a frame; when there is one, it answers with `answer`.
    fn receive(&mut self, answer: Option<&[u8]>) -> Option<Vec<u8>> {
        let waker = Waker::from(self.stack.clone());
        let mut context = Context::from_waker(&waker);
        let (received, answering) = self.card.receive(&mut context)?;
        Some(received.consume(|frame| {
            if let Some(answer) = answer {
                answering.consume(answer.len(), |place| place.copy_from_slice(answer));
            }
            frame.to_vec()
        }))
    }

    fn link(&mut self) -> LinkState {
        self.card
            .link_state(&mut Context::from_waker(Waker::noop()))
    }

    fn times_woken(&self) -> u32 {
        self.stack.0.load(Ordering::Relaxed)
    }
}

/// Waits until one more try is allowed.
async fn pause(tries: &Cell<u32>, waiting: &RefCell<Option<Waker>>) {
    poll_fn(|context| match tries.get().checked_sub(1) {
        Some(left) => {
            tries.set(left);
            Poll::Ready(())
        }
        None => {
            waiting.replace(Some(context.waker().clone()));
            Poll::Pending
        }
    })
    .await;
}

const ALL: [&str; 3] = [
    "feature-rx-copy",
    "feature-sg",
    "feature-split-event-channels",
];

#[test]
fn frames_pass_both_ways() {
    for features in [&ALL[..], &ALL[..1]] {
        let mut bench = Bench::connected(features);
        assert!(matches!(bench.link(), LinkState::Up));
        let (mut receiver, mut sender) = (bench.receiver(), bench.sender());
        assert_eq!(bench.receive(None), None);
        for number in 0..300 {
            let frame = receive::frame(number, 60 + number as usize);
            let way = receive::Way::cut(frame.len(), frame.len(), 0);
            assert!(receiver.deliver(&frame, &way));
            receiver.publish(0);
            let answer = transmit::frame(number, 1514, false);
            assert_eq!(bench.receive(Some(&answer)), Some(frame));
            receiver.look();
            let taken = sender.take().expect("the answer was sent");
            assert!(taken.frame == answer);
            sender.answer(taken.ids[0], 0);
            sender.publish();
        }
        let counters = bench.card.counters();
        assert_eq!((counters.rx_frames, counters.tx_frames), (300, 300));
        assert_eq!((counters.rx_errors, counters.tx_errors), (0, 0));
    }
}

#[test]
fn segments_go_and_come_together_where_the_backend_can() {
    let (gso, gso_6, sums_6) = (
        "feature-gso-tcpv4",
        "feature-gso-tcpv6",
        "feature-ipv6-csum-offload",
    );
    for (features, expected) in [
        (&[gso, gso_6, sums_6][..], [true, true]),
        (&[gso, gso_6], [true, false]),
        (&[gso_6, sums_6], [false, true]),
        (&[gso, gso_6, sums_6, "feature-no-csum-offload"], [false; 2]),
        (&[], [false; 2]),
    ] {
        let mut bench = Bench::connected(&[&ALL[..], features].concat());
        for key in [gso, gso_6, sums_6] {
            assert_eq!(bench.frontend(key), "1", "{key}");
        }
        let taken = [IpVersion::V4, IpVersion::V6].map(|version| bench.send_segments(version));
        assert_eq!(taken, expected, "{features:?}");
        // The connection's task tells of them.
        bench.world.settle();
        let mut sender = bench.sender();
        let frames = core::iter::from_fn(|| sender.take());
        let kinds: Vec<_> = frames.filter_map(|it| it.segments).collect();
        let number = |(kind, expected)| if expected { Some((1000, kind)) } else { None };
        let wanted = [1, 2].into_iter().zip(expected).filter_map(number);
        assert_eq!(kinds, wanted.collect::<Vec<_>>());
        let mut receiver = bench.receiver();
        let long = receive::frame(1, 65_000);
        assert!(receiver.deliver(&long, &receive::Way::cut(65_000, 4096, 0)));
        receiver.publish(0);
        assert_eq!(bench.receive(None), Some(long));
    }
    let mut bench = Bench::connected(&[ALL[0], gso]);
    assert!(!bench.send_segments(IpVersion::V4), "no scatter-gather");
}

#[test]
fn the_frontend_says_what_the_backend_needs_to_know() {
    let bench = Bench::connected(&ALL);
    let ports = bench.with_rings(|it| {
        let receive = it.receive_event.as_ref().map(|it| it.port());
        (it.transmit_event.port(), receive.unwrap())
    });
    let number = |key: &str| bench.frontend(key).parse::<u32>().unwrap();
    let written = ("event-channel-tx", "event-channel-rx");
    assert_eq!((number(written.0), number(written.1)), ports);
    assert_eq!((number("request-rx-copy"), number("feature-sg")), (1, 1));
    assert!(number("tx-ring-ref") >= 8 && number("rx-ring-ref") >= 8);
    let bench = Bench::connected(&ALL[..1]);
    let port = bench.with_rings(|it| it.transmit_event.port());
    assert_eq!(bench.frontend("event-channel").parse(), Ok(port));
}

#[test]
fn a_backend_that_goes_and_comes_is_connected_to_again() {
    let mut bench = Bench::connected(&ALL);
    let granted = bench.grants.usage().granted;
    for _ in 0..3 {
        bench.set_backend("5");
        assert!(matches!(bench.link(), LinkState::Down));
        assert_eq!(bench.frontend("state"), "6");
        assert_eq!(bench.grants.usage().granted, 0, "all was taken back");
        bench.set_backend("2");
        bench.try_again();
        bench.set_backend("4");
        assert!(matches!(bench.link(), LinkState::Up));
        assert_eq!(bench.grants.usage().granted, granted);
    }
    assert_eq!(bench.card.counters().connections, 4);
}

#[test]
fn a_backend_that_breaks_the_rules_is_left() {
    let mut bench = Bench::connected(&ALL);
    let receiver = bench.receiver();
    peer::set_responses(&receiver.ring, 1000);
    assert_eq!(bench.receive(None), None);
    bench.world.settle();
    assert_eq!(
        bench.frontend("state"),
        "5",
        "the backend is asked to let go"
    );
    assert!(bench.grants.usage().granted > 0, "it still has the pages");
    bench.set_backend("5");
    assert_eq!(bench.frontend("state"), "6");
    let counters = bench.card.counters();
    assert_eq!((counters.broken, bench.grants.usage().granted), (1, 0));
    let why = "the backend broke the protocol: the ring holds 1000 responses to 64 requests";
    assert_eq!(bench.monitor.status(), Status::Failed(why.into()));
    bench.set_backend("2");
    bench.try_again();
    bench.set_backend("4");
    assert!(bench.monitor.is_connected());
}

#[test]
fn a_backend_without_copying_is_refused() {
    let bench = Bench::new(&ALL[1..]);
    let why = "the backend lacks feature-rx-copy, which is needed";
    assert_eq!(bench.monitor.status(), Status::Failed(why.into()));
    assert_eq!(bench.grants.usage().granted, 0);
}

#[test]
fn frames_pass_when_the_store_does_not_answer_any_more() {
    let mut bench = Bench::connected(&ALL);
    let mut receiver = bench.receiver();
    bench.world.daemon.break_ring();
    bench.world.raise(crate::xenstore::hostile::PORT as u32);
    bench.world.settle();
    let frame = receive::frame(1, 100);
    receiver.deliver(&frame, &receive::Way::cut(100, 100, 0));
    receiver.publish(0);
    assert_eq!(bench.receive(None), Some(frame));
    assert!(matches!(bench.link(), LinkState::Up));
}

/// A bad frame that comes after the driver has looked and before it asks to be told is not told of. It
/// must not be what the driver then waits behind.
#[test]
fn a_bad_frame_at_the_wrong_moment_stops_nothing() {
    let mut bench = Bench::connected(&ALL);
    let mut receiver = bench.receiver();
    let port = bench.with_rings(|it| it.receive_event.as_ref().unwrap().port());
    peer::set_request_event(&receiver.ring, 65);
    let good = receive::frame(1, 100);
    receiver.deliver(&good, &receive::Way::cut(100, 100, 0));
    receiver.publish(0);
    assert_eq!(bench.receive(None), Some(good.clone()));
    receiver.look();
    // The driver notifies after its look: of the page that went back. Then the bad frame comes.
    let receiver = Rc::new(RefCell::new(receiver));
    let late = receiver.clone();
    let act = move |_| {
        let mut backend = late.borrow_mut();
        backend.deliver(&[0; 10], &receive::Way::cut(10, 10, 0));
        let last = backend.next.wrapping_sub(1);
        let slot = backend.slot(last);
        backend.ring.u16(slot + 6).store(0, Ordering::Relaxed);
        backend.publish(0);
    };
    *bench.world.on_notify.borrow_mut() = Some(Box::new(act));
    assert_eq!(bench.receive(None), None);
    bench.world.on_notify.take();
    assert_eq!(bench.card.counters().rx_errors, 1, "it came");
    let mut receiver = receiver.borrow_mut();
    receiver.look();
    let before = receiver.shown;
    receiver.deliver(&good, &receive::Way::cut(100, 100, 0));
    receiver.publish(0);
    // `RING_PUSH_RESPONSES_AND_CHECK_NOTIFY`
    let event = peer::response_event(&receiver.ring);
    let new = receiver.shown;
    let notify = new.wrapping_sub(event) < new.wrapping_sub(before);
    assert!(
        notify,
        "the driver waits for response {event}, this is {new}"
    );
    let woken = bench.times_woken();
    bench.world.raise(port);
    assert_eq!(bench.times_woken(), woken + 1);
    assert_eq!(bench.receive(None), Some(good));
}

#[test]
fn rubbish_without_end_does_not_keep_the_stack_from_its_turn() {
    let mut bench = Bench::connected(&ALL);
    let receiver = Rc::new(RefCell::new(bench.receiver()));
    let supply = receiver.clone();
    let ring = peer::view(&receiver.borrow().ring);
    let act = move |_| {
        let mut backend = supply.borrow_mut();
        backend.look();
        let id = backend.id();
        backend.put(id.into());
        backend.publish(0);
        // A notification of the page that comes back, which brings the next.
        peer::set_request_event(&ring, peer::requests(&ring) + 1);
    };
    act(0);
    *bench.world.on_notify.borrow_mut() = Some(Box::new(act));
    assert_eq!(bench.receive(None), None);
    assert!((2..10).contains(&bench.card.counters().rx_errors));
    assert!(bench.times_woken() > 0, "there is more to do");
}
