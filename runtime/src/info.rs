//! Facts about the running system, for status pages.

use crate::WallClock;

/// What runs here, and how it is doing.
#[derive(Clone, Debug)]
pub struct Info {
    /// The board's name.
    pub board: &'static str,
    /// The CPU's name.
    pub cpu: &'static str,
    /// The wall clock, seconds since 1970-01-01 UTC; `None` where no clock keeps it.
    pub unix_seconds: Option<u64>,
    /// The same to the microsecond, with where it comes from and how good it is.
    pub wall_clock: Option<WallClock>,
    /// Milliseconds since boot.
    pub uptime_ms: u64,
    /// The heap; `None` in a host process, whose allocator does not say.
    pub heap: Option<Heap>,
    /// The sockets of our own IP stack; `None` in a host process that uses the host's.
    pub sockets: Option<Sockets>,
}

/// How full the heap is, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heap {
    /// Bytes in use.
    pub used: usize,
    /// Bytes not in use.
    pub free: usize,
}

/// TCP connections by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sockets {
    /// Handshake not complete.
    pub half_open: usize,
    /// Complete, held by the app or waiting to be accepted.
    pub open: usize,
    /// Closed by the app, not yet by the peer.
    pub closing: usize,
    /// Remembered for late segments.
    pub time_wait: usize,
}
