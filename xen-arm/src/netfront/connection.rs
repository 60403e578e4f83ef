//! The task beside a card: finds the backend, connects, notifies, and starts anew when the backend is
//! gone.

use super::{
    Broken, ETHERNET_HEADER, Netfront,
    device::{Rings, Shared},
    features::{Offer, Reply},
    receive::Receive,
    transmit::Transmit,
};
use crate::{
    Frame,
    events::{EventChannels, EventError},
    grants::{GrantError, GrantTable},
    xenbus::{Backend, Frontend, State},
    xenstore::{Cause, StoreError, Watch},
};
use alloc::{
    rc::Rc,
    string::{String, ToString},
};
use core::{
    cell::RefCell,
    fmt,
    future::{pending, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};
use futures_util::{
    StreamExt,
    future::{Either, select, try_join, try_join3},
};

/// Bytes of a frame with the longest packet of IPv4.
const LONGEST_RECEIVED: usize = ETHERNET_HEADER + u16::MAX as usize;

/// How far a card's connection has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// It looks for the backend in xenstore.
    #[default]
    Looking,
    /// The backend is in this state and has to move.
    Waiting {
        /// The backend's folder in xenstore.
        backend: String,
        /// Its state.
        state: State,
    },
    /// Frames can pass.
    Connected,
    /// The last attempt failed.
    Failed(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Looking => f.write_str("looking for the backend in xenstore"),
            Self::Waiting { backend, state } => write!(f, "the backend {backend} is {state}"),
            Self::Connected => f.write_str("connected"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Why a connection was not made, or ended.
#[derive(Debug)]
enum Failure {
    Store(StoreError),
    Event(EventError),
    Grant(GrantError),
    Broken(Broken),
    /// The backend cannot copy into our pages.
    NoCopy,
    /// It closed.
    Closed(State),
    /// The toolstack names another one.
    Moved,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Event(error) => error.fmt(f),
            Self::Grant(error) => error.fmt(f),
            Self::Broken(why) => write!(f, "the backend broke the protocol: {why}"),
            Self::NoCopy => f.write_str("the backend lacks feature-rx-copy, which is needed"),
            Self::Closed(state) => write!(f, "the backend is {state}"),
            Self::Moved => f.write_str("there is another backend now"),
        }
    }
}

macro_rules! failure_from {
    ($($error:ident => $variant:ident),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

failure_from!(StoreError => Store, EventError => Event, GrantError => Grant, Broken => Broken);

/// Keeps a card connected.
#[derive(Debug)]
pub struct Connection {
    shared: Rc<RefCell<Shared>>,
    number: u32,
    longest: usize,
    frontend: Frontend,
    channels: EventChannels,
    grants: GrantTable,
    long_frames: usize,
}

/// Looks at a card that belongs to the stack.
#[derive(Clone, Debug)]
pub struct Monitor(Rc<RefCell<Shared>>);

impl Monitor {
    /// Returns how far the connection has come.
    pub fn status(&self) -> Status {
        self.0.borrow().status.clone()
    }

    /// Returns whether frames can pass.
    pub fn is_connected(&self) -> bool {
        self.0.borrow().status == Status::Connected
    }
}

impl Connection {
    pub(super) fn new(
        card: &Netfront,
        channels: EventChannels,
        grants: GrantTable,
        long_frames: usize,
    ) -> Self {
        Self {
            shared: card.shared.clone(),
            number: card.number,
            longest: card.mtu + ETHERNET_HEADER,
            frontend: card.frontend.clone(),
            channels,
            grants,
            long_frames,
        }
    }

    /// Returns a way to look at the card.
    pub fn monitor(&self) -> Monitor {
        Monitor(self.shared.clone())
    }

    /// Connects, and again whenever the backend has gone, for ever; `pause` waits before another
    /// attempt.
    pub async fn run(self, pause: impl AsyncFn()) -> ! {
        loop {
            let failure = self.connect_and_serve().await;
            self.end(failure);
            pause().await;
        }
    }

    /// Takes everything back.
    fn end(&self, failure: Failure) {
        let mut shared = self.shared.borrow_mut();
        shared.link = false;
        if matches!(failure, Failure::Broken(_)) {
            shared.counters.broken += 1;
        }
        let why = Status::Failed(failure.to_string());
        // The same is not said again and again.
        if shared.status != why {
            log::warn!(target: "net", "vif {}: {failure}", self.number);
        }
        shared.status = why;
        shared.broken = None;
        // Grants that the backend still uses are kept by the table until it lets go.
        let rings = shared.rings.take();
        shared.wake_stack();
        drop(shared);
        drop(rings);
    }

    async fn connect_and_serve(&self) -> Failure {
        match self.connect().await {
            Ok(connected) => self.serve(connected).await,
            Err(failure) => failure,
        }
    }

    async fn connect(&self) -> Result<Peer, Failure> {
        let mut peer = Peer::find(&self.frontend).await?;
        let (state, stays) = try_join(self.frontend.state(), peer.stays()).await?;
        if state != State::Initialising && stays {
            self.frontend.set_state(State::Initialising).await?;
        }
        self.wait_for(&mut peer, |state| state == State::InitWait)
            .await?;
        let offer = Offer::read(&peer.backend).await?;
        let (rings, reply) = self.rings(&peer.backend, offer)?;
        let frontend = &self.frontend;
        reply
            .write(frontend.store(), |name| frontend.key(name))
            .await?;
        frontend.set_state(State::Connected).await?;
        let last = |state| matches!(state, State::Connected | State::Closing | State::Closed);
        match self.wait_for(&mut peer, last).await? {
            State::Connected => {}
            state => return Err(Failure::Closed(state)),
        }
        let link = peer.backend.feature("carrier", true).await?;
        self.start(rings, link);
        log::debug!(target: "net", "vif {}: {offer:?}", self.number);
        Ok(peer)
    }

    /// Makes rings, and what the backend is to be told of them.
    fn rings(&self, backend: &Backend, offer: Offer) -> Result<(Rings, Reply), Failure> {
        if !offer.rx_copy {
            return Err(Failure::NoCopy);
        }
        // Without scatter-gather a frame has one slot, which is of one page.
        let longest = match offer.scatter_gather {
            true => self.longest,
            false => self.longest.min(Frame::BYTES),
        };
        let (grants, domain) = (&self.grants, backend.domain);
        let segmentation = self.long_frames > 0;
        let longest_received = match segmentation {
            true => LONGEST_RECEIVED,
            false => self.longest,
        };
        let rings = Rings {
            receive: Receive::new(grants, domain, longest_received)?,
            transmit: Transmit::new(grants, domain, longest, offer.cut(self.long_frames))?,
            transmit_event: self.channels.allocate(domain)?,
            receive_event: match offer.split_event_channels {
                true => Some(self.channels.allocate(domain)?),
                false => None,
            },
        };
        let reply = Reply {
            tx_ring: rings.transmit.ring_reference(),
            rx_ring: rings.receive.ring_reference(),
            tx_port: rings.transmit_event.port(),
            rx_port: rings.receive_event.as_ref().map(|it| it.port()),
            segmentation,
        };
        Ok((rings, reply))
    }

    fn start(&self, rings: Rings, link: bool) {
        let mut shared = self.shared.borrow_mut();
        shared.counters.connections += 1;
        shared.rings = Some(rings);
        shared.link = link;
        shared.status = Status::Connected;
        shared.wake_stack();
    }

    /// Waits until the backend is in a state that `wanted` says yes to.
    async fn wait_for(
        &self,
        peer: &mut Peer,
        wanted: impl Fn(State) -> bool,
    ) -> Result<State, Failure> {
        loop {
            let state = async { Ok(peer.backend.state().await?) };
            let (state, ()) = try_join(state, peer.check(&self.frontend)).await?;
            if wanted(state) {
                return Ok(state);
            }
            self.shared.borrow_mut().status = Status::Waiting {
                backend: peer.backend.path.clone(),
                state,
            };
            peer.changed().await;
        }
    }

    /// Lets frames pass until something ends that; says goodbye.
    async fn serve(&self, mut peer: Peer) -> Failure {
        let failure = {
            let broken = pin!(poll_fn(|context| self.poll_notify(context)));
            let gone = pin!(self.watch_backend(&mut peer));
            match select(broken, gone).await {
                Either::Left((why, _)) => Failure::Broken(why),
                Either::Right((failure, _)) => failure,
            }
        };
        match self.say_goodbye(&mut peer, &failure).await {
            Ok(()) => failure,
            Err(error) => error,
        }
    }

    async fn say_goodbye(&self, peer: &mut Peer, failure: &Failure) -> Result<(), Failure> {
        self.shared.borrow_mut().link = false;
        if matches!(failure, Failure::Broken(_)) {
            // Our wish, not the backend's: it lets go of our pages before they are taken back.
            self.frontend.set_state(State::Closing).await?;
            let gone = |state| !matches!(state, State::Connected | State::InitWait);
            self.wait_for(peer, gone).await?;
        }
        self.frontend.set_state(State::Closed).await?;
        Ok(())
    }

    /// Notifies the backend of what the stack has sent; ready when the protocol is broken.
    fn poll_notify(&self, context: &Context<'_>) -> Poll<Broken> {
        let mut shared = self.shared.borrow_mut();
        if core::mem::take(&mut shared.news)
            && let Some(rings) = &mut shared.rings
        {
            rings.notify();
        }
        match shared.broken {
            Some(why) => Poll::Ready(why),
            None => {
                shared.connection = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Follows the backend's carrier until it is no longer connected.
    async fn watch_backend(&self, peer: &mut Peer) -> Failure {
        loop {
            peer.changed().await;
            let state = async { Ok(peer.backend.state().await?) };
            let carrier = async { Ok(peer.backend.feature("carrier", true).await?) };
            match try_join3(peer.check(&self.frontend), state, carrier).await {
                Ok(((), State::Connected, carrier)) => self.set_link(carrier),
                Ok(((), state, _)) => return Failure::Closed(state),
                // There is no store any more, and no other connection to be had without it. This one
                // still works.
                Err(Failure::Store(StoreError {
                    cause: Cause::Broken(_),
                    ..
                })) => pending().await,
                Err(failure) => return failure,
            }
        }
    }

    fn set_link(&self, link: bool) {
        let mut shared = self.shared.borrow_mut();
        if core::mem::replace(&mut shared.link, link) != link {
            shared.wake_stack();
        }
    }
}

impl Shared {
    fn wake_stack(&mut self) {
        self.stack.take().into_iter().for_each(Waker::wake);
    }
}

/// A backend, and watches of all that can change about it.
struct Peer {
    backend: Backend,
    changes: Watch,
    moves: Watch,
}

impl Peer {
    async fn find(frontend: &Frontend) -> Result<Self, Failure> {
        // The store answers in order: no change after the reading is missed.
        let moved = frontend.key("backend");
        let (moves, backend) = try_join(frontend.store().watch(&moved), frontend.backend()).await?;
        Ok(Self {
            changes: backend.watch().await?,
            backend,
            moves,
        })
    }

    async fn changed(&mut self) {
        // Both end with the store's connection; asking the store says so.
        select(self.changes.next(), self.moves.next()).await;
    }

    /// Makes sure that it is still the one that the toolstack means.
    async fn check(&self, frontend: &Frontend) -> Result<(), Failure> {
        let backend = frontend.backend().await?;
        let same = backend.path == self.backend.path && backend.domain == self.backend.domain;
        if same { Ok(()) } else { Err(Failure::Moved) }
    }

    /// Returns whether the toolstack wants to keep the device.
    async fn stays(&self) -> Result<bool, StoreError> {
        self.backend.feature("online", true).await
    }
}
