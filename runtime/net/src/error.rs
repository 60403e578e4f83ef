//! The one error type of this crate.

use core::fmt;
use core::net::SocketAddr;

/// Why a network operation failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// The device is not an Ethernet device, or its hardware address is not a unicast address.
    UnsupportedDevice,
    /// The stack has no address yet: DHCP has not answered.
    NoAddress,
    /// The address cannot be used here: unspecified, multicast, this host's own, of IPv6 where the app is
    /// without it, or without a router that leads to it.
    InvalidAddress(SocketAddr),
    /// The configured address or gateway is not a unicast address, or its prefix is above 32.
    InvalidConfiguration,
    /// Port 0 cannot be listened on.
    InvalidPort,
    /// Another socket of this stack already uses the port.
    PortInUse(u16),
    /// All ephemeral ports towards this peer are in use.
    PortsExhausted,
    /// The limit of connections is reached.
    TooManyConnections,
    /// There is not enough memory for the socket's buffers.
    OutOfMemory,
    /// The peer answered the attempt to connect with a reset.
    ConnectionRefused,
    /// The peer reset the connection.
    ConnectionReset,
    /// This side ended the connection: it was aborted, or this host lost its address.
    ConnectionAborted,
    /// The peer did not answer in time.
    TimedOut,
    /// This side has already closed the connection for writing.
    Closed,
    /// The datagram is longer than one frame takes (this many bytes at most).
    DatagramTooLong(usize),
    /// The received datagram was longer than the buffer and was dropped.
    BufferTooShort,
    /// This host can be in no more multicast groups.
    TooManyGroups,
    /// This stack does not do what was asked (multicast groups, in an app without them).
    Unsupported,
    /// The system is about to end, and accepts no more connections.
    ShuttingDown,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnsupportedDevice => {
                f.write_str("the network device is not Ethernet or has no unicast hardware address")
            }
            Error::NoAddress => f.write_str("this host has no IP address yet"),
            Error::InvalidAddress(address) => write!(f, "{address} cannot be reached from here"),
            Error::InvalidConfiguration => {
                f.write_str("the configured IP address, prefix or gateway is not usable by a host")
            }
            Error::InvalidPort => f.write_str("port 0 cannot be listened on"),
            Error::PortInUse(port) => write!(f, "port {port} is already in use"),
            Error::PortsExhausted => f.write_str("all ephemeral ports are in use"),
            Error::TooManyConnections => f.write_str("the limit of connections is reached"),
            Error::OutOfMemory => f.write_str("there is not enough memory for another socket"),
            Error::ConnectionRefused => f.write_str("the peer refused the connection"),
            Error::ConnectionReset => f.write_str("the peer reset the connection"),
            Error::ConnectionAborted => f.write_str("the connection was aborted by this host"),
            Error::TimedOut => f.write_str("the peer did not answer in time"),
            Error::Closed => f.write_str("the connection is already closed for writing"),
            Error::DatagramTooLong(limit) => {
                write!(f, "the datagram is too long: {limit} bytes fit in a frame")
            }
            Error::BufferTooShort => f.write_str("the received datagram did not fit the buffer"),
            Error::TooManyGroups => {
                f.write_str("this host is in too many multicast groups already")
            }
            Error::Unsupported => f.write_str("this network stack does not support that"),
            Error::ShuttingDown => f.write_str("the system is shutting down"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Error::UnsupportedDevice | Error::Unsupported => ErrorKind::Unsupported,
            Error::NoAddress | Error::InvalidAddress(_) => ErrorKind::AddrNotAvailable,
            Error::InvalidConfiguration | Error::InvalidPort | Error::DatagramTooLong(_) => {
                ErrorKind::InvalidInput
            }
            Error::PortInUse(_) | Error::PortsExhausted => ErrorKind::AddrInUse,
            Error::TooManyConnections | Error::TooManyGroups | Error::OutOfMemory => {
                ErrorKind::OutOfMemory
            }
            Error::ConnectionRefused => ErrorKind::ConnectionRefused,
            Error::ConnectionReset => ErrorKind::ConnectionReset,
            Error::ConnectionAborted => ErrorKind::ConnectionAborted,
            Error::TimedOut => ErrorKind::TimedOut,
            Error::Closed => ErrorKind::BrokenPipe,
            Error::BufferTooShort => ErrorKind::InvalidData,
            Error::ShuttingDown => ErrorKind::NotConnected,
        }
    }
}
