//! The store's daemon for tests and fuzzers: its end of the rings, and a daemon by a script (see
//! [`crate::hostile`]).
//!
//! It knows the rings from `io/xs_wire.h` and the messages from Xen's docs/misc/xenstore.txt, not from
//! the client: layouts and numbers are written down here a second time.

use super::{Cause, Connection, StoreError, Watch, Xenstore};
use crate::{
    bytes::{BadIndices, Place},
    events::EventChannels,
    hostile::{Script, pattern},
    memory::SharedMemory,
    ring::peer::view,
    shared_info::SharedInfo,
};
use alloc::{boxed::Box, collections::VecDeque, format, rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    pin::{Pin, pin},
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};
use futures_util::Stream;

/// `struct xenstore_domain_interface`: the rings, as the daemon sees them.
const REQUESTS: Place = Place {
    bytes: 0,
    size: 1024,
    consumer: 2048,
    producer: 2052,
};
const RESPONSES: Place = Place {
    bytes: 1024,
    size: 1024,
    consumer: 2056,
    producer: 2060,
};

/// `XENSTORE_PAYLOAD_MAX`
pub(super) const LONGEST: usize = 4096;
/// `enum xsd_sockmsg_type`
pub(super) const WATCH_EVENT: u32 = 15;
pub(super) const ERROR: u32 = 16;

/// The port of the store's event channel.
pub(crate) const PORT: u64 = 1;

/// A message, either way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Message {
    pub(super) kind: u32,
    pub(super) number: u32,
    pub(super) transaction: u32,
    pub(super) payload: Vec<u8>,
}

impl Message {
    /// Returns the message as it goes over the ring, with a header that says `length`.
    pub(super) fn bytes_saying(&self, length: u32) -> Vec<u8> {
        let words = [self.kind, self.number, self.transaction, length];
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(&self.payload);
        bytes
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.bytes_saying(self.payload.len() as u32)
    }

    /// Takes a message from the front of `bytes` when it is there whole.
    fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let (words, _) = bytes.get(..16)?.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        let (kind, number, transaction, length) = (word(0), word(1), word(2), word(3));
        let end = 16 + length as usize;
        let payload = bytes.get(16..end)?.to_vec();
        bytes.drain(..end);
        Some(Self {
            kind,
            number,
            transaction,
            payload,
        })
    }

    /// The answer to a request.
    pub(super) fn answer(&self, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            payload: payload.into(),
            ..*self
        }
    }

    pub(super) fn error(&self, name: &str) -> Self {
        Self {
            kind: ERROR,
            ..self.answer(format!("{name}\0"))
        }
    }

    pub(super) fn event(path: &str, token: &str) -> Self {
        Self {
            kind: WATCH_EVENT,
            number: 0,
            transaction: 0,
            payload: format!("{path}\0{token}\0").into(),
        }
    }
}

/// The daemon's end of the rings.
pub(crate) struct Daemon {
    pub(super) page: SharedMemory,
    /// Bytes of requests that have arrived.
    arrived: Vec<u8>,
    /// Bytes that wait for room in the ring.
    pub(super) waiting: VecDeque<u8>,
}

impl Daemon {
    /// Takes the requests that are there.
    ///
    /// # Errors
    /// [`BadIndices`].
    pub(super) fn requests(&mut self) -> Result<Vec<Message>, BadIndices> {
        let mut piece = [0; 1024];
        let length = REQUESTS.read(&self.page, &mut piece)?;
        self.arrived.extend(&piece[..length]);
        Ok(core::iter::from_fn(|| Message::take(&mut self.arrived)).collect())
    }

    /// Writes at most `most` of the bytes that wait; returns how many.
    ///
    /// # Errors
    /// [`BadIndices`].
    pub(super) fn send(&mut self, most: usize) -> Result<usize, BadIndices> {
        let length = most.min(self.waiting.len());
        let piece: Vec<u8> = self.waiting.iter().take(length).copied().collect();
        let written = RESPONSES.write(&self.page, &piece)?;
        self.waiting.drain(..written);
        Ok(written)
    }

    /// Sets the index of the producer of responses, in a way that cannot be.
    pub(crate) fn break_ring(&self) {
        let consumed = self.page.u32(RESPONSES.consumer).load(Ordering::SeqCst);
        let impossible = consumed.wrapping_add(RESPONSES.size + 1);
        self.page
            .u32(RESPONSES.producer)
            .store(impossible, Ordering::SeqCst);
    }
}

/// Makes a client and its daemon; also the event channels, and the shared info as Xen sees it.
pub(super) fn connect() -> (Xenstore, Daemon, EventChannels, SharedMemory) {
    let info = SharedMemory::allocate(1).expect("a host has memory");
    let xens = view(&info);
    let channels = EventChannels::new(SharedInfo::new(info));
    let channel = channels.adopt(PORT).expect("the port is free");
    let page = SharedMemory::allocate(1).expect("a host has memory");
    let daemon = Daemon {
        page: view(&page),
        arrived: Vec::new(),
        waiting: VecDeque::new(),
    };
    let store = Xenstore::on(Connection::new(page, channel));
    (store, daemon, channels, xens)
}

type Task = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// Requests that run at a time.
const TASKS: usize = 24;
/// Events of one watch that are kept.
const EVENTS: usize = 64;

/// The client against a daemon.
struct Match {
    store: Xenstore,
    daemon: Daemon,
    tasks: Vec<Task>,
    watches: Rc<RefCell<Vec<Watch>>>,
    /// Requests that were not answered.
    open: Vec<Message>,
    _channels: EventChannels,
}

/// Plays the store's daemon.
///
/// # Panics
/// When the client breaks a promise: that is what it is for.
pub fn store(script: &[u8]) {
    let mut script = Script::new(script);
    let (store, daemon, channels, _) = connect();
    let mut game = Match {
        store,
        daemon,
        tasks: Vec::new(),
        watches: Rc::default(),
        open: Vec::new(),
        _channels: channels,
    };
    while !script.is_over() {
        game.step(&mut script);
    }
    game.end();
}

/// Paths that are asked for; some are none.
const PATHS: [&str; 8] = [
    "a",
    "/",
    "device/vif/0/state",
    "@releaseDomain",
    "",
    "a//b",
    "ä",
    "b",
];

impl Match {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 12 {
            0 | 1 if self.tasks.len() < TASKS => self.start(script),
            2 => self.poll(),
            3 => self.run(),
            4 => drop_one(&mut self.tasks, script),
            5 => self.look_at_watches(script),
            6 => self.open.extend(self.daemon.requests().unwrap_or_default()),
            7 | 8 => self.answer(script),
            9 => self.wild_message(script),
            10 => self.wild_memory(script),
            _ => {
                let _ = self.daemon.send(1 + script.below(1024));
                self.run();
            }
        }
    }

    fn start(&mut self, script: &mut Script<'_>) {
        let kind = script.u8();
        let path = PATHS[usize::from(script.u8()) % PATHS.len()];
        let (store, watches) = (self.store.clone(), self.watches.clone());
        self.tasks.push(Box::pin(async move {
            match kind % 10 {
                0 => store.read_bytes(path).await.map(drop),
                1 => store.read_as::<u32>(path).await.map(drop),
                2 => store.directory(path).await.map(drop),
                3 => store.permissions(path).await.map(drop),
                4 => store.write(path, kind).await,
                5 => store.remove(path).await,
                6 => {
                    store
                        .transaction(async |it| it.write(path, "x").await)
                        .await
                }
                7 => store
                    .transaction(async |it| it.read(path).await)
                    .await
                    .map(drop),
                8 => store.make_directory(path).await,
                _ => {
                    let watch = store.watch(path).await?;
                    watches.borrow_mut().push(watch);
                    Ok(())
                }
            }
        }));
    }

    /// Goes on with every task.
    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        self.tasks
            .retain_mut(|it| it.as_mut().poll(&mut context).is_pending());
    }

    /// Moves messages.
    fn run(&self) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(self.store.run()).poll(&mut context).is_pending());
    }

    /// Takes all events, of which there are never many; drops a watch.
    fn look_at_watches(&mut self, script: &mut Script<'_>) {
        let mut watches = self.watches.borrow_mut();
        for watch in watches.iter_mut() {
            assert!(take_events(watch).0 <= EVENTS);
        }
        drop_one(&mut watches, script);
    }

    fn answer(&mut self, script: &mut Script<'_>) {
        if self.open.is_empty() {
            return;
        }
        let request = self.open.swap_remove(script.below(self.open.len()));
        let answer = match script.u8() % 8 {
            0 | 1 => request.answer(b"OK\0"),
            2 => request.answer(b"7\0"),
            3 => request.answer(b"a\0bc\0"),
            4 => request.answer(b"3\0a\0\0"),
            5 => request.answer(b"n0\0r1\0"),
            6 => request.error(["ENOENT", "EAGAIN", "E2BIG", "EINVAL"][script.below(4)]),
            _ => request.answer(pattern(script.u8().into(), script.below(LONGEST))),
        };
        self.say(&answer.bytes(), script);
    }

    fn wild_message(&mut self, script: &mut Script<'_>) {
        let token = format!("{}", script.u8() % 32);
        let path = PATHS[usize::from(script.u8()) % PATHS.len()];
        let message = Message {
            kind: script.u32() % 32,
            number: script.u32() % 64,
            transaction: script.u32() % 4,
            payload: pattern(script.u8().into(), script.below(64)),
        };
        match script.u8() % 4 {
            0 => self.say(&message.bytes(), script),
            1 => self.say(&message.bytes_saying(script.u32() % 5000), script),
            2 => {
                let path = format!("{path}{}", script.u8());
                self.say(&Message::event(&path, &token).bytes(), script);
            }
            _ => self.say(&message.payload, script),
        }
    }

    /// Has the daemon send something, perhaps twice.
    fn say(&mut self, bytes: &[u8], script: &mut Script<'_>) {
        // One that says more than it can send is not listened to.
        if self.daemon.waiting.len() < 64 * 1024 {
            let times = if script.u8().is_multiple_of(8) { 2 } else { 1 };
            (0..times).for_each(|_| self.daemon.waiting.extend(bytes));
        }
        let _ = self.daemon.send(1024);
    }

    /// Writes anywhere in the page, with a liking for the indices.
    fn wild_memory(&self, script: &mut Script<'_>) {
        let offset = match script.u8() % 2 {
            0 => 2048 + 4 * script.below(4),
            _ => 4 * script.below(1024),
        };
        let word = self.daemon.page.u32(offset);
        let value = match script.u8() % 4 {
            0 => script.u32(),
            _ => word.load(Ordering::SeqCst).wrapping_add(script.u32() % 32),
        };
        word.store(value, Ordering::SeqCst);
    }

    /// When the connection breaks, everything that waits ends.
    fn end(mut self) {
        self.daemon.break_ring();
        self.run();
        self.poll();
        assert!(self.tasks.is_empty(), "a request waits for ever");
        for watch in self.watches.borrow_mut().iter_mut() {
            let (events, ended) = take_events(watch);
            assert!(events <= EVENTS && ended, "a watch waits for ever");
        }
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Err(error)) = pin!(self.store.read("a")).poll(&mut context) else {
            panic!("a request waits for ever");
        };
        assert!(matches!(error.cause, Cause::Broken(_)));
    }
}

fn drop_one<T>(list: &mut Vec<T>, script: &mut Script<'_>) {
    if !list.is_empty() {
        list.swap_remove(script.below(list.len()));
    }
}

/// Takes the events that wait; returns how many, and whether there will be no more.
pub(super) fn take_events(watch: &mut Watch) -> (usize, bool) {
    let mut context = Context::from_waker(Waker::noop());
    let mut count = 0;
    loop {
        match Pin::new(&mut *watch).poll_next(&mut context) {
            Poll::Ready(Some(_)) => count += 1,
            Poll::Ready(None) => return (count, true),
            Poll::Pending => return (count, false),
        }
    }
}

#[cfg(test)]
mod tests;
