//! The IP stack of Landfall: IPv4, ARP, ICMP echo, DHCP, UDP and TCP over any Ethernet device; with
//! feature `multicast` IGMP and groups for UDP, with feature `ipv6` IPv6, neighbour discovery and SLAAC.
//!
//! smoltcp does ARP, ICMP, DHCP, UDP and what IPv6 needs of them, and `landfall-tcp` the TCP; this crate does what they
//! leave to their user, for a server that faces a network it does not trust:
//!
//! - a frame finds its connection through a map, never by a walk over all sockets (`demux`);
//! - a listener has a real backlog: each SYN gets a connection of its own while memory lasts, and
//!   no burst is refused (`listener`);
//! - a connection holds memory for the bytes that are on their way and no more, and the window that a
//!   peer gets is matched to the memory there is (`admission`);
//! - every resource has a bound, and each frame that is dropped is counted by its cause
//!   ([`Counters`]);
//! - what smoltcp would panic on never reaches it.
//!
//! [`new`] takes a device (`embassy_net_driver::Driver` with `SegmentationOffload`) and gives a [`Stack`], which apps hold,
//! and a [`Runner`], whose `run` is the network task. Both live on one thread; nothing here is
//! `Send`, and no lock is ever held across an `await`.
//!
//! The way of a frame: `runner` takes it from the device, `demux` says whose it is, `tcp`,
//! `udp` or `dhcp` gives it to that one socket, and the socket's waker tells the app. On the way
//! out only sockets that were marked as having something to do are asked.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod admission;
mod announce;
mod clock;
mod config;
mod connection;
mod counters;
mod demux;
mod device;
mod dhcp;
mod error;
mod flows;
#[cfg(feature = "multicast")]
mod groups;
#[cfg(feature = "ipv6")]
mod ipv6;
mod listener;
mod lists;
#[cfg(feature = "ipv6")]
mod ndisc;
mod runner;
mod segments;
mod socket;
mod stack;
mod tcp;
mod udp;
mod waiters;

#[cfg(test)]
mod tests;

#[cfg(feature = "ipv6")]
pub use config::Ipv6Config;
pub use config::{Address, AddressConfig, AddressSource, Config};
pub use counters::{ConnectionCounts, Counters};
pub use error::Error;
pub use listener::TcpListener;
pub use runner::Runner;
pub use socket::{TcpReader, TcpSocket, TcpWriter};
pub use stack::{Stack, new};
pub use udp::{UdpReceiver, UdpSender, UdpSocket};
