//! One connection to the store: requests out, answers and watch events in, each answer to the
//! request with its number.

use super::{
    error::{Broken, Cause, NoStore},
    wire::{ERROR, Header, Incoming, Kind, LONGEST_PAYLOAD, WATCH_EVENT, strings},
};
use crate::{
    bytes::Place,
    events::{EventChannel, EventChannels},
    hypercall::{self, Parameter},
    memory::SharedMemory,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    string::String,
    vec::Vec,
};
use core::{
    cell::RefCell,
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// `struct xenstore_domain_interface`
pub(crate) const REQUESTS: Place = Place {
    bytes: 0,
    size: 1024,
    consumer: 2048,
    producer: 2052,
};
pub(crate) const RESPONSES: Place = Place {
    bytes: 1024,
    size: 1024,
    consumer: 2056,
    producer: 2060,
};

/// Pieces that are read before others get their turn.
const BATCH: usize = 64;
/// Watch events of one watch that wait to be taken; more of them become one.
const EVENTS: usize = 64;

pub(super) struct Connection {
    channel: EventChannel,
    state: RefCell<State>,
}

struct State {
    page: SharedMemory,
    outgoing: VecDeque<u8>,
    incoming: Incoming,
    last_number: u32,
    requests: BTreeMap<u32, Request>,
    watches: BTreeMap<u32, Events>,
    broken: Option<Broken>,
    dropped: u64,
}

/// A request that was sent.
enum Request {
    Waiting(Option<Waker>),
    Answered(Result<Vec<u8>, Cause>),
    /// Nobody waits for the answer any more.
    Abandoned,
}

/// What a watch has seen.
pub(super) struct Events {
    root: String,
    paths: VecDeque<String>,
    waker: Option<Waker>,
}

impl Connection {
    /// Connects to the store of this domain.
    pub(super) fn open(channels: &EventChannels) -> Result<Rc<Self>, NoStore> {
        let frame = hypercall::parameter(Parameter::StoreFrame).unwrap_or(0);
        if frame == 0 || frame > usize::MAX as u64 / 4096 {
            return Err(NoStore::Frame(frame));
        }
        let port = hypercall::parameter(Parameter::StoreEventChannel)
            .map_err(|error| NoStore::Event(error.into()))?;
        let channel = channels.adopt(port).map_err(NoStore::Event)?;
        // SAFETY: 1. The caller of `Xenstore::open` has mapped the page. 2. The port, of which there
        // is one, was taken: this is the only connection.
        let page = unsafe { SharedMemory::at((frame * 4096) as usize, 1) };
        Ok(Self::new(page, channel))
    }

    pub(super) fn new(page: SharedMemory, channel: EventChannel) -> Rc<Self> {
        Rc::new(Self {
            channel,
            state: RefCell::new(State {
                page,
                outgoing: VecDeque::new(),
                incoming: Incoming::default(),
                last_number: 0,
                requests: BTreeMap::new(),
                watches: BTreeMap::new(),
                broken: None,
                dropped: 0,
            }),
        })
    }

    /// Moves messages at each event, for ever.
    pub(super) async fn run(&self) {
        poll_fn(|context| {
            loop {
                if self.pump() {
                    context.waker().wake_by_ref();
                    return Poll::<()>::Pending;
                }
                if self.channel.poll_event(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    /// Moves messages; returns whether there may be more to do.
    fn pump(&self) -> bool {
        let (moved, more) = self.state.borrow_mut().pump();
        if moved {
            self.channel.notify();
        }
        more
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn request(
        &self,
        kind: Kind,
        transaction: u32,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, Cause> {
        let number = self.state.borrow_mut().enqueue(kind, transaction, parts)?;
        let mut pending = Pending {
            connection: self,
            number: Some(number),
        };
        self.pump();
        poll_fn(|context| pending.poll(context)).await
    }

    /// Sends a request to whose answer nobody listens.
    pub(super) fn request_unheard(&self, kind: Kind, transaction: u32, parts: &[&[u8]]) {
        let mut state = self.state.borrow_mut();
        if let Ok(number) = state.enqueue(kind, transaction, parts) {
            state.requests.insert(number, Request::Abandoned);
        }
        drop(state);
        self.pump();
    }

    /// Returns how many messages were dropped because they fit nothing.
    pub(super) fn dropped(&self) -> u64 {
        self.state.borrow().dropped
    }

    /// Begins to keep the events of a watch; returns its number.
    pub(super) fn add_watch(&self, root: &str) -> u32 {
        let mut state = self.state.borrow_mut();
        let number = state.next_number();
        let events = Events {
            root: root.into(),
            paths: VecDeque::new(),
            waker: None,
        };
        state.watches.insert(number, events);
        number
    }

    pub(super) fn remove_watch(&self, number: u32) {
        self.state.borrow_mut().watches.remove(&number);
    }

    /// Takes an event of a watch; there are no more when it is `None`.
    pub(super) fn poll_watch(&self, number: u32, context: &Context<'_>) -> Poll<Option<String>> {
        let mut state = self.state.borrow_mut();
        let broken = state.broken.is_some();
        let Some(events) = state.watches.get_mut(&number) else {
            return Poll::Ready(None);
        };
        let path = events.paths.pop_front();
        if path.is_some() || broken {
            return Poll::Ready(path);
        }
        events.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A request whose answer is waited for; dropped before, the answer is thrown away when it comes.
struct Pending<'a> {
    connection: &'a Connection,
    number: Option<u32>,
}

impl Pending<'_> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<Vec<u8>, Cause>> {
        let mut state = self.connection.state.borrow_mut();
        let number = self.number.expect("polled until it is ready");
        match state.requests.remove(&number) {
            Some(Request::Answered(answer)) => {
                self.number = None;
                Poll::Ready(answer)
            }
            _ => {
                let waiting = Request::Waiting(Some(context.waker().clone()));
                state.requests.insert(number, waiting);
                Poll::Pending
            }
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut state = self.connection.state.borrow_mut();
            if let Some(Request::Waiting(_)) = state.requests.remove(&number) {
                state.requests.insert(number, Request::Abandoned);
            }
        }
    }
}

impl State {
    /// A number that is not in use, for a request or a watch.
    fn next_number(&mut self) -> u32 {
        loop {
            self.last_number = self.last_number.wrapping_add(1);
            let number = self.last_number;
            if !self.requests.contains_key(&number) && !self.watches.contains_key(&number) {
                return number;
            }
        }
    }

    fn enqueue(&mut self, kind: Kind, transaction: u32, parts: &[&[u8]]) -> Result<u32, Cause> {
        if let Some(why) = self.broken {
            return Err(Cause::Broken(why));
        }
        let bytes = parts.iter().map(|part| part.len()).sum();
        if bytes > LONGEST_PAYLOAD {
            return Err(Cause::TooLong { bytes });
        }
        let request = self.next_number();
        let header = Header {
            kind: kind as u32,
            request,
            transaction,
            length: bytes as u32,
        };
        self.outgoing.extend(header.bytes());
        parts.iter().for_each(|part| self.outgoing.extend(*part));
        self.requests.insert(request, Request::Waiting(None));
        Ok(request)
    }

    /// Returns (whether anything moved, whether there may be more to read).
    fn pump(&mut self) -> (bool, bool) {
        if self.broken.is_some() {
            return (false, false);
        }
        let result = self.send().and_then(|sent| {
            let (received, more) = self.receive()?;
            Ok((sent || received, more))
        });
        result.unwrap_or_else(|why| {
            self.fail(why);
            (false, false)
        })
    }

    fn send(&mut self) -> Result<bool, Broken> {
        let mut sent = false;
        loop {
            let (piece, _) = self.outgoing.as_slices();
            if piece.is_empty() {
                return Ok(sent);
            }
            let written = REQUESTS.write(&self.page, piece).map_err(Broken::Indices)?;
            self.outgoing.drain(..written);
            if written == 0 {
                return Ok(sent);
            }
            sent = true;
        }
    }

    fn receive(&mut self) -> Result<(bool, bool), Broken> {
        let mut piece = [0; 256];
        for turn in 0..BATCH {
            let length = RESPONSES
                .read(&self.page, &mut piece)
                .map_err(Broken::Indices)?;
            if length == 0 {
                return Ok((turn > 0, false));
            }
            let mut incoming = core::mem::take(&mut self.incoming);
            let fed = incoming.feed(&piece[..length], |header, payload| {
                self.accept(header, payload)
            });
            self.incoming = incoming;
            fed?;
        }
        Ok((true, true))
    }

    /// Gives a message to whom it is for.
    fn accept(&mut self, header: Header, payload: Vec<u8>) {
        let known = match header.kind {
            WATCH_EVENT => self.accept_event(&payload),
            ERROR => self.answer(header.request, Err(Cause::of_message(&payload))),
            _ => self.answer(header.request, Ok(payload)),
        };
        if known.is_none() {
            self.dropped += 1;
        }
    }

    fn answer(&mut self, number: u32, answer: Result<Vec<u8>, Cause>) -> Option<()> {
        match self.requests.remove(&number)? {
            Request::Abandoned => Some(()),
            // The first answer counts.
            answered @ Request::Answered(_) => {
                self.requests.insert(number, answered);
                None
            }
            Request::Waiting(waker) => {
                self.requests.insert(number, Request::Answered(answer));
                waker.into_iter().for_each(Waker::wake);
                Some(())
            }
        }
    }

    fn accept_event(&mut self, payload: &[u8]) -> Option<()> {
        let parts = strings(payload)?;
        let [path, token] = parts[..] else {
            return None;
        };
        let events = self.watches.get_mut(&token.parse().ok()?)?;
        events.add(path);
        Some(())
    }

    fn fail(&mut self, why: Broken) {
        log::error!(target: "xen", "the connection to xenstore is broken: {why}");
        self.broken = Some(why);
        let numbers: Vec<u32> = self.requests.keys().copied().collect();
        for number in numbers {
            self.answer(number, Err(Cause::Broken(why)));
        }
        self.watches.values_mut().for_each(Events::wake);
    }
}

impl Events {
    fn add(&mut self, path: &str) {
        if self.paths.len() == EVENTS {
            // Rather one event for everything than one that is lost.
            self.paths.clear();
            self.paths.push_back(self.root.clone());
        } else if !self.paths.iter().any(|known| known == path) {
            self.paths.push_back(path.into());
        }
        self.wake();
    }

    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}
