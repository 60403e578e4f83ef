//! What an app is given.

use crate::{
    Entropy, Error, I2cBus, Info, Led, NoPeripheral, Peripherals, Platform, Thermometer, WallClock,
    app::Identity, entropy, executor::Spawner, heap, network::Network, shutdown, wall_clock,
};
use alloc::{boxed::Box, rc::Rc};
use core::{
    any::Any,
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
    shutdown: shutdown::Request,
    peripherals: Peripherals,
    board: Option<Box<dyn Any>>,
}

impl System {
    pub(crate) fn new(
        platform: &'static dyn Platform,
        identity: &'static Identity,
        network: Option<Network>,
        spawner: Spawner,
        peripherals: Peripherals,
        board: Option<Box<dyn Any>>,
    ) -> Self {
        Self(Rc::new(Inner {
            platform,
            identity,
            network,
            spawner,
            shutdown: shutdown::Request::default(),
            peripherals,
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

    /// Returns the I2C bus that the machine's manual calls by this number.
    ///
    /// # Errors
    /// [`NoPeripheral`] where the board has none, or not this one.
    pub fn i2c(&self, bus: u8) -> Result<I2cBus, NoPeripheral> {
        self.0.peripherals.i2c(self.0.platform.board(), bus)
    }

    /// Returns the LED that the machine's device tree calls by this name.
    ///
    /// # Errors
    /// [`NoPeripheral`] where the board has none, or not this one.
    pub fn led(&self, name: &str) -> Result<Led, NoPeripheral> {
        self.0.peripherals.led(self.0.platform.board(), name)
    }

    /// Returns the thermometer that tells how warm the machine itself is.
    ///
    /// # Errors
    /// [`NoPeripheral`] where the board has none.
    pub fn thermometer(&self) -> Result<Thermometer, NoPeripheral> {
        self.0.peripherals.thermometer(self.0.platform.board())
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

    /// Fills `bytes` from the random generator, fit for keys as far as the board's sources were
    /// ([`Self::entropy`]). Crate `getrandom`, and what builds on it, draws from the same.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        entropy::fill(bytes).expect("`run` seeds the generator before it makes a system");
    }

    /// Returns where the random numbers come from, and whether that is good enough for keys.
    pub fn entropy(&self) -> Entropy {
        entropy::about().expect("`run` seeds the generator before it makes a system")
    }

    /// Returns the wall clock in seconds since 1970-01-01 UTC; `None` where no clock keeps it.
    pub fn unix_seconds(&self) -> Option<u64> {
        self.wall_clock().map(|time| time.unix_seconds())
    }

    /// Returns the time of day; `None` where nobody has told it.
    pub fn wall_clock(&self) -> Option<WallClock> {
        wall_clock::now()
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
        let wall_clock = self.wall_clock();
        Info {
            board: self.0.platform.board(),
            cpu: self.0.platform.cpu(),
            unix_seconds: wall_clock.map(|time| time.unix_seconds()),
            wall_clock,
            uptime_ms: self.0.platform.now_us() / 1000,
            heap: heap::usage(),
            sockets: self.0.network.as_ref().and_then(Network::sockets),
        }
    }
}
