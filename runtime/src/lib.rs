//! Landfall, as an app sees it: one `async fn` that is given a [`System`] and runs unchanged as a
//! host process, as a bare-metal image and as a guest of a hypervisor.
//!
//! ```ignore
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//! #![forbid(unsafe_code)]
//!
//! landfall::arguments! {
//!     /// TCP port to listen on
//!     port: u16 = 8080,
//! }
//!
//! #[landfall::main]
//! async fn main(system: landfall::System, arguments: Arguments) -> Result<(), landfall::Error> {
//!     let listener = system.network()?.bind_tcp(arguments.port).await?;
//!     // accept, serve …
//!     Ok(())
//! }
//! ```
//!
//! Boards stand below: one implements [`Platform`], collects its [`Devices`] and calls [`run`].
//! The runtime knows no board and no register.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod app;
mod boot;
pub mod entropy;
mod error;
mod executor;
pub mod heap;
mod info;
mod logging;
pub mod metrics;
pub mod network;
mod peripherals;
mod platform;
mod shutdown;
#[cfg(not(target_os = "none"))]
#[doc(hidden)]
pub mod simulated;
#[cfg(feature = "sntp")]
mod sntp;
mod system;
mod time;
mod wall_clock;

pub use app::{App, AppFuture, Identity};
pub use boot::{BoardTask, Card, Devices, NetworkDevice, run};
pub use entropy::{Entropy, Seed};
pub use error::Error;
pub use info::{Heap, Info, Sockets};
pub use landfall_arguments::{self as arguments, arguments};
pub use landfall_log as log;
pub use landfall_macros::main;
pub use landfall_offload::segmentation::SegmentationOffload;
#[cfg(feature = "log-history")]
pub use logging::history::log_history;
pub use peripherals::{I2cBus, Led, NoPeripheral, Peripherals, Thermometer};
pub use platform::{CrashReport, ExitCode, Platform};
pub use system::System;
pub use wall_clock::{BoardClock, WallClock, WallClockSource};
