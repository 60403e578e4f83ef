//! Backends for tests and fuzzers, honest and by a script: see [`crate::hostile`].
//!
//! They know the ring from `io/netif.h` and `io/ring.h`, not from the driver: layouts and flags are
//! written down here a second time.

#[cfg(test)]
mod card;
mod receive;
mod transmit;

pub use receive::receive;
pub use transmit::transmit;

use super::Broken;
use crate::{DomainId, grants::GrantTable};
use alloc::boxed::Box;

/// Slots of both rings: the largest power of two of 8, and of 12, bytes each that a page has room for
/// behind a header of 64.
const SLOTS: u32 = 256;
/// After so many rounds the indices of the ring begin anew.
const ROUNDS: u32 = u32::MAX / SLOTS;
/// The domain that the backend is said to run in.
const BACKEND: DomainId = DomainId(0);

std::thread_local! {
    /// One for all: a fuzzer makes a driver a thousand times a second, and a table's memory is kept.
    static GRANTS: &'static GrantTable = Box::leak(Box::new(GrantTable::on_host(4).0));
}

/// Returns a grant table that has room for every layout of buffers.
fn grants() -> GrantTable {
    crate::hypercall::host::install(Box::new(|_, _| 0));
    GRANTS.with(|table| GrantTable::clone(table))
}

/// How a match between the driver and a backend stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// The backend has kept the rules.
    Fair,
    /// It has not, and everything but the driver's own safety is off.
    Foul,
    /// The driver has noticed and is done with it.
    Over(Broken),
}
