//! Names of hosts on any UDP socket that has `edge-nal`'s traits.
//!
//! - [`client`]: asks DNS servers for the addresses of a name (RFC 1034, RFC 1035).
//! - [`responder`]: lets others find this host as `NAME.local` (RFC 6762), without any server.
//!
//! The crate `domain` reads and writes the messages; here is when to send which, and what to believe.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod client;
pub mod responder;

use octseq::array::Array;

/// The longest message without extensions (RFC 1035, 4.2.1); queries are short, and so are answers
/// that name the addresses of one host.
const LONGEST: usize = 512;

/// A name in a buffer of its own.
type Name = domain::base::Name<Array<255>>;

/// A message that is built.
type Buffer = Array<LONGEST>;
