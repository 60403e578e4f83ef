//! What a stack is told when it is made, and the address that it has.

use core::fmt;
#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::time::Duration;

use crate::Error;

/// Where this host's address comes from.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum AddressConfig {
    /// None: this host has no IPv4 address.
    Off,
    /// Ask the network, and renew the lease.
    Dhcp,
    /// Use this one.
    Static {
        /// This host's address.
        address: Ipv4Addr,
        /// How many leading bits of the address name the network, 0 to 32.
        prefix: u8,
        /// The router to everything outside that network.
        gateway: Option<Ipv4Addr>,
    },
}

/// Where this host's IPv6 addresses come from.
#[cfg(feature = "ipv6")]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Ipv6Config {
    /// There are none.
    Off,
    /// What routers advertise (RFC 4862), beside the address that every host has on its link.
    Automatic,
    /// Use this one, beside that of the link.
    Static {
        /// This host's address.
        address: Ipv6Addr,
        /// How many leading bits of the address name the network, 0 to 128.
        prefix: u8,
        /// The router to everything outside that network; without it, one that advertises itself.
        gateway: Option<Ipv6Addr>,
    },
}

/// Who gave an address.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum AddressSource {
    /// A DHCP server.
    Dhcp,
    /// The configuration.
    Static,
}

/// This host's IPv4 address, its network and its router.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// This host's address.
    pub address: Ipv4Addr,
    /// How many leading bits of the address name the network.
    pub prefix: u8,
    /// The router to everything outside that network.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, as far as DHCP named any.
    pub dns_servers: [Option<Ipv4Addr>; 3],
    /// Who gave the address.
    pub source: AddressSource,
}

impl Address {
    /// Returns whether `address` and `gateway` can be a host's and `prefix` is one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let host = is_host(self.address) && !self.address.is_loopback();
        let gateway = self.gateway.is_none_or(is_host);
        if host && gateway && self.prefix <= 32 {
            Ok(())
        } else {
            Err(Error::InvalidConfiguration)
        }
    }

    /// Returns whether `other` is the broadcast address of this network.
    pub(crate) fn is_broadcast(&self, other: Ipv4Addr) -> bool {
        if other.is_broadcast() {
            return true;
        }
        // Networks of one or two hosts have no broadcast address (RFC 3021).
        if self.prefix >= 31 {
            return false;
        }
        let host_bits = u32::MAX >> self.prefix;
        other.to_bits() == self.address.to_bits() | host_bits
    }
}

/// Returns whether one host can have this address: not unspecified, broadcast or multicast.
fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        match self.gateway {
            Some(gateway) => write!(f, ", gateway {gateway}")?,
            None => f.write_str(", no gateway")?,
        }
        f.write_str(match self.source {
            AddressSource::Dhcp => " (DHCP)",
            AddressSource::Static => " (static)",
        })
    }
}

/// A connection gets no more than one such part of what is plentiful.
const PLENTY: usize = 8;

/// How a stack behaves. [`Config::new`] gives values for a small server; each may be changed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the address comes from.
    pub address: AddressConfig,
    /// Where the IPv6 addresses come from.
    #[cfg(feature = "ipv6")]
    pub ipv6: Ipv6Config,
    /// Name servers to be asked before those that DHCP or a router names.
    pub dns_servers: [Option<IpAddr>; 2],
    /// Seed for initial sequence numbers, ephemeral ports and DHCP transactions. Must differ at
    /// each boot and must not be guessable.
    pub random_seed: u64,
    /// What log lines of this stack begin with.
    pub name: &'static str,
    /// Bytes of receive buffer of a TCP connection, at least; it is also its largest receive window.
    pub rx_buffer: usize,
    /// Bytes of send buffer of a TCP connection, at least.
    pub tx_buffer: usize,
    /// Bytes of each of the two while memory is plentiful. Half of what was free at the start is
    /// left for connections with the least.
    pub roomy_buffer: usize,
    /// Bytes of each of the two buffers of a UDP socket.
    pub udp_buffer: usize,
    /// How many TCP connections there may be, in all stages together.
    pub max_connections: usize,
    /// How many connections of one listener may be half-open or waiting to be accepted.
    pub backlog: usize,
    /// How many connections may be in TIME-WAIT; the oldest makes room for the newest.
    pub max_time_wait: usize,
    /// Returns how many bytes of the heap are free. Without it only `max_connections` bounds the
    /// memory that connections take.
    pub free_memory: Option<fn() -> usize>,
    /// No connection is made while fewer bytes than this would stay free.
    pub memory_reserve: usize,
    /// Bytes of heap that the app may come to hold for each connection, beside the socket. They are
    /// kept free for every connection that there is, so that a crowd cannot use up the memory.
    pub app_memory: usize,
    /// How long a peer may take to complete a handshake that it began.
    pub half_open_timeout_ms: u64,
    /// How long an attempt to connect to a peer may take.
    pub connect_timeout_ms: u64,
    /// How long a peer may be silent while it owes an acknowledgement: at least 100 s (RFC 9293, 3.8.3), and more than the
    /// minute that is at most between two questions whether a window has opened, or a peer that answers each would be
    /// taken for dead (3.8.6.1).
    pub user_timeout_ms: u64,
    /// After how long a silence an idle peer is asked for a sign of life. It is given up after two
    /// such questions.
    pub keep_alive_ms: u64,
    /// How long a connection that the app let go of may make no progress before it is aborted.
    pub orphan_timeout_ms: u64,
}

impl Config {
    /// Returns the configuration for an address and a seed, with default limits.
    pub fn new(address: AddressConfig, random_seed: u64) -> Config {
        Config {
            address,
            #[cfg(feature = "ipv6")]
            ipv6: Ipv6Config::Automatic,
            dns_servers: [None; 2],
            random_seed,
            name: "net",
            rx_buffer: 4096,
            tx_buffer: 8192,
            roomy_buffer: 1_048_560,
            udp_buffer: 8192,
            max_connections: 16_384,
            backlog: 1024,
            max_time_wait: 128,
            free_memory: None,
            memory_reserve: 128 * 1024,
            app_memory: 12 * 1024,
            half_open_timeout_ms: 10_000,
            connect_timeout_ms: 20_000,
            user_timeout_ms: 100_000,
            keep_alive_ms: 60_000,
            orphan_timeout_ms: 10_000,
        }
    }

    /// Returns the buffers of a connection, when so many bytes are plentiful.
    pub(crate) fn buffers(&self, plentiful: usize) -> Buffers {
        let share = self.roomy_buffer.min(plentiful / PLENTY / 2);
        Buffers {
            receive: rx_capacity(self.rx_buffer.max(share)),
            send: self.tx_buffer.max(share).clamp(1024, 1 << 29),
        }
    }

    /// Returns how long an idle peer may be silent in all: two questions, and time to answer.
    pub(crate) fn idle_timeout(&self) -> Duration {
        milliseconds(self.keep_alive_ms.saturating_mul(2).saturating_add(15_000))
    }
}

/// Bytes of a connection's two buffers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Buffers {
    pub(crate) receive: usize,
    pub(crate) send: usize,
}

/// Returns the receive buffer's size as smoltcp can have it without harm.
///
/// In a SYN the window is not scaled, yet smoltcp 0.14 remembers what it sent there as if it were,
/// so a peer may send `65535 << shift` bytes. A buffer above 64 KiB must hold that many, or a peer
/// that fills the window would overrun it (an assertion in smoltcp's ring buffer).
pub(crate) fn rx_capacity(wanted: usize) -> usize {
    let wanted = wanted.clamp(1024, 1 << 29);
    if wanted <= 65_535 {
        return wanted;
    }
    let shift = (usize::BITS - wanted.leading_zeros()) - 16;
    let usable = 65_535 << shift;
    if usable <= wanted {
        usable
    } else {
        65_535 << (shift - 1)
    }
}

/// Returns a duration of so many milliseconds; absurdly long ones are cut to a year.
pub(crate) fn milliseconds(value: u64) -> Duration {
    Duration::from_millis(value.min(366 * 24 * 3600 * 1000))
}
