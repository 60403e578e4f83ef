//! What an app is given.

use crate::{
    Error, Info, Platform, app::Identity, entropy::Random, executor::Spawner, heap,
    network::Network, shutdown,
};
use alloc::{boxed::Box, rc::Rc};
use core::{
    any::Any,
    cell::RefCell,
    future::{Future, poll_fn},
};

/// The system under an app. Clones are handles of the same.
#[derive(Clone)]
pub struct System(Rc<Inner>);

struct Inner {
    platform: &'static dyn Platform,
    identity: &'static Identity,
    network: Option<Network>,
    spawner: Spawner,
    random: RefCell<Random>,
    shutdown: shutdown::Request,
    board: Option<Box<dyn Any>>,
}

impl System {
    pub(crate) fn new(
        platform: &'static dyn Platform,
        identity: &'static Identity,
        network: Option<Network>,
        spawner: Spawner,
        random: Random,
        board: Option<Box<dyn Any>>,
    ) -> Self {
        Self(Rc::new(Inner {
            platform,
            identity,
            network,
            spawner,
            random: RefCell::new(random),
            shutdown: shutdown::Request::default(),
            board,
        }))
    }

    /// Returns the network.
    ///
    /// # Errors
    /// [`Error::NoNetwork`] where the board has none.
    pub fn network(&self) -> Result<Network, Error> {
        self.0.network.clone().ok_or(Error::NoNetwork {
            board: self.0.platform.board(),
        })
    }

    /// Returns what this machine's board offers beyond what all have, if it is a `T`; each board's crate
    /// says which. An app that asks for it is for that board.
    pub fn board<T: Clone + 'static>(&self) -> Option<T> {
        self.0.board.as_ref()?.downcast_ref().cloned()
    }

    /// Runs `future` beside the app, until it ends.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.spawner.spawn(future);
    }

    /// Fills `bytes` from the random generator, fit for keys as far as the board's sources were.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.0.random.borrow_mut().fill(bytes);
    }

    /// Returns the wall clock in seconds since 1970-01-01 UTC; `None` where no clock keeps it.
    pub fn unix_seconds(&self) -> Option<u64> {
        self.0.platform.unix_seconds()
    }

    /// Waits until whoever runs this machine wants it to end, as by `xl shutdown`. The app then has
    /// half a second to return from `main`; its listeners accept no more connections.
    pub async fn shutdown_requested(&self) {
        self.0.shutdown.heard().await;
    }

    pub(crate) fn shutdown_request(&self) -> &shutdown::Request {
        &self.0.shutdown
    }

    pub(crate) fn identity(&self) -> &'static Identity {
        self.0.identity
    }

    pub(crate) fn platform(&self) -> &'static dyn Platform {
        self.0.platform
    }

    /// Waits for input on the console and returns how many bytes of it are in `buffer`, at least
    /// one. On boards whose console has no input it waits for ever.
    pub async fn read_console(&self, buffer: &mut [u8]) -> usize {
        poll_fn(|context| self.0.platform.poll_read(context, buffer)).await
    }

    /// Returns facts about the running system.
    pub fn info(&self) -> Info {
        Info {
            board: self.0.platform.board(),
            cpu: self.0.platform.cpu(),
            unix_seconds: self.unix_seconds(),
            uptime_ms: self.0.platform.now_us() / 1000,
            heap: heap::usage(),
            sockets: self.0.network.as_ref().and_then(Network::sockets),
        }
    }
}
