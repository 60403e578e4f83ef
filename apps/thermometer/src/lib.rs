//! A temperature sensor on I2C as a network service: a page that shows it live, JSON, and metrics.
//!
//! - [`run`]: the whole service on any TCP listener; its routes.
//! - `arguments`: what its boot arguments can be; `assets`: the page's files, which are in `page/`.
//! - `sensor`: a thermometer as the service sees it, and the LM75 as one, by crate `lm75`.
//! - `simulated`: a sensor for machines that have none, at the other side of the same trait.
//! - `history`: the last readings; `station`: takes them, counts, and tells whoever listens.
//!
//! The binary (`main.rs`) is the wiring to [`landfall`].

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod arguments;
mod assets;
mod history;
mod sensor;
mod simulated;
mod station;

pub use arguments::{Address, Interval, Source};
pub use sensor::Sensor;

use alloc::{rc::Rc, string::String};
use core::fmt;

use edge_nal::TcpAccept;
use embassy_futures::select::{Either, select};
use embassy_time::Instant;
use embedded_hal::i2c::I2c;
use landfall::{NoPeripheral, System, metrics::Metrics};
use landfall_http::{Limits, Response, Routes, StatusCode};
use simulated::SimulatedLm75;
use station::{Counts, Station};

/// Why the service does not run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// The system says why.
    System(landfall::Error),
    /// The board has no such bus, or no thermometer.
    NoPeripheral(NoPeripheral),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(formatter),
            Self::NoPeripheral(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Error {}

impl From<landfall::Error> for Error {
    fn from(error: landfall::Error) -> Self {
        Self::System(error)
    }
}

impl From<NoPeripheral> for Error {
    fn from(error: NoPeripheral) -> Self {
        Self::NoPeripheral(error)
    }
}

/// Returns the sensor on a bus.
pub fn lm75(bus: impl I2c + 'static, address: Address) -> Sensor {
    Sensor::lm75("I2C", bus, address.0)
}

/// Returns the machine's own thermometer as a sensor.
pub fn board(thermometer: landfall::Thermometer) -> Sensor {
    Sensor::board(thermometer)
}

/// Returns a sensor that is not there, which leaves each `fail`th reading unanswered.
pub fn simulated(address: Address, fail: u32) -> Sensor {
    let bus = SimulatedLm75::new(address.0, fail);
    Sensor::lm75("simulated", bus, address.0)
}

/// Reads `sensor` and serves what it says, until accepting connections fails for good.
///
/// # Errors
/// [`Error::System`], of accepting.
pub async fn run<A>(
    system: System,
    acceptor: A,
    sensor: Sensor,
    interval: Interval,
) -> Result<(), Error>
where
    A: TcpAccept<Error = landfall::Error>,
{
    let metrics = Metrics::new(&system);
    let counts = Counts::register(&metrics).expect("a new registry has none of these names");
    let board = system.info().board;
    let station = Rc::new(Station::new(board, sensor.name, interval.0, counts));
    let serving = serve(acceptor, &station, || metrics.render());
    match select(station.measure(sensor), serving).await {
        Either::First(()) => Ok(()),
        Either::Second(served) => Ok(served?),
    }
}

async fn serve<A: TcpAccept>(
    acceptor: A,
    station: &Rc<Station>,
    metrics: impl Fn() -> String,
) -> Result<(), A::Error> {
    let routes = Routes::new()
        .assets(&assets::ASSETS)
        .get("/api/history", |_request| {
            Response::json(station.json(Instant::now()))
        })
        .get("/api/live", |_request| {
            Response::stream("text/event-stream", Rc::clone(station).listen())
        })
        .get("/metrics", |_request| {
            Response::new(StatusCode::OK)
                .body(Metrics::CONTENT_TYPE, metrics().into_bytes())
                .cache_control("no-store")
        });
    landfall_http::serve(acceptor, Limits::default(), routes).await
}
