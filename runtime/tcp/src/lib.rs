//! TCP (RFC 9293) without a network: the state of a connection, what a segment does to it, and what it sends.
//!
//! smoltcp's socket owns two buffers of a fixed size from its first segment to the end of TIME-WAIT, and is asked for one
//! segment at a time with everything that an interface knows. Here a connection owns bytes only while it has some
//! ([`Pool`], [`Stream`]), so that an idle one costs a few hundred, and what it sends is decided by one look at its state
//! ([`Connection::poll`]).
//!
//! What there is: windows with scaling (RFC 7323), selective acknowledgements both ways (RFC 2018, RFC 6675), CUBIC (RFC
//! 9438), retransmission by measured time (RFC 6298), delayed acknowledgements, probes of closed windows and of silent
//! peers, resets and acknowledgements that hold against blind attackers (RFC 5961). What there is not: timestamps, urgent
//! data, a push by the app (each segment that empties the buffer has the flag).
//!
//! Times are microseconds since any moment ([`Micros`]). Nothing here knows of addresses, tasks or devices.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod congestion;
mod connection;
mod pool;
mod ranges;
mod receive;
mod recovery;
mod rtt;
mod segment;
mod seq;
mod stream;
#[cfg(test)]
mod tests;
mod transmit;

pub use connection::{Connection, Events, Settings, State};
pub use pool::{CHUNK, Pool};
pub use receive::Verdict;
pub use segment::{Flags, Header, Options, Segment};
pub use seq::Seq;
pub use stream::Stream;
pub use transmit::{Outgoing, Retransmission};

/// A time or a length of time in microseconds.
pub type Micros = u64;
