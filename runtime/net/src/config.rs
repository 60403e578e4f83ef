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
/// No window can be larger (RFC 7323, 2.3).
const MOST: usize = 65_535 << 14;

/// How long an acknowledgement waits for data to go with (RFC 9293, 3.8.6.3: less than 500 ms).
const ACK_DELAY: landfall_tcp::Micros = 10_000;
/// How long TIME-WAIT lasts: far longer than a segment lives in the networks of today.
const TIME_WAIT: landfall_tcp::Micros = 10_000_000;

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
    /// Bytes that a TCP connection's peer may send before they are read, at least: its receive window. Memory is taken for
    /// what is there.
    pub rx_buffer: usize,
    /// Bytes that may be written to a TCP connection before its peer acknowledges them, at least.
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
    /// Bytes of heap that the app may come to hold for a connection with something under way, beside the socket. They
    /// are kept free, so that a crowd cannot use up the memory.
    pub app_memory: usize,
    /// How many connections may have something under way at the same time.
    pub app_busy: usize,
    /// Bytes of heap that the app may hold for each other connection. They are kept free for a connection that is made.
    pub app_idle_memory: usize,
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
            roomy_buffer: 1 << 20,
            udp_buffer: 8192,
            max_connections: 16_384,
            backlog: 1024,
            max_time_wait: 1024,
            free_memory: None,
            memory_reserve: 128 * 1024,
            app_memory: 12 * 1024,
            app_busy: 256,
            app_idle_memory: 4 * 1024,
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
            receive: self.rx_buffer.max(share).clamp(1024, MOST) as u32,
            send: self.tx_buffer.max(share).clamp(1024, MOST) as u32,
        }
    }

    /// Returns how a connection is to behave, with packets of `mtu` bytes and while so many bytes are plentiful.
    pub(crate) fn tcp(&self, mtu: usize, plentiful: usize) -> landfall_tcp::Settings {
        let Buffers { receive, send } = self.buffers(plentiful);
        let micros = |milliseconds: u64| milliseconds.saturating_mul(1000);
        landfall_tcp::Settings {
            mss: u16::try_from(mtu).unwrap_or(u16::MAX),
            receive,
            send,
            user_timeout: micros(self.user_timeout_ms),
            keep_alive: micros(self.keep_alive_ms),
            // Two questions, and time to answer.
            idle_timeout: micros(self.keep_alive_ms.saturating_mul(2).saturating_add(15_000)),
            ack_delay: ACK_DELAY,
            time_wait: TIME_WAIT,
        }
    }
}

/// Bytes of a connection's two buffers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Buffers {
    pub(crate) receive: u32,
    pub(crate) send: u32,
}

/// Returns a duration of so many milliseconds; absurdly long ones are cut to a year.
pub(crate) fn milliseconds(value: u64) -> Duration {
    Duration::from_millis(value.min(366 * 24 * 3600 * 1000))
}
