//! The one error type that apps see.

use crate::arguments::ArgumentError;
use alloc::string::String;
use core::fmt;
use embedded_io_async::ErrorKind;

/// Why something of the runtime did not work, in a sentence that names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// A boot argument is unknown or malformed.
    Argument(ArgumentError),
    /// The app needs a network and the board has none.
    NoNetwork {
        /// The board.
        board: &'static str,
    },
    /// The addresses of a name could not be found out.
    #[cfg(feature = "dns")]
    Name {
        /// The name.
        name: String,
        /// Why, in a sentence.
        why: String,
    },
    /// An operation of our own IP stack failed.
    Network(landfall_net::Error),
    /// An operation of the host's sockets failed.
    Host {
        /// What was tried, and what the host said.
        what: String,
        /// Its kind.
        kind: ErrorKind,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(error) => error.fmt(f),
            Self::NoNetwork { board } => write!(
                f,
                "this app needs a network device, and none was found on board {board}; \
                 give the machine one (QEMU: -netdev … -device virtio-net-device,netdev=…)"
            ),
            #[cfg(feature = "dns")]
            Self::Name { name, why } => write!(f, "cannot find the address of {name}: {why}"),
            Self::Network(error) => error.fmt(f),
            Self::Host { what, .. } => f.write_str(what),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Network(error) => error.kind(),
            Self::Host { kind, .. } => *kind,
            #[cfg(feature = "dns")]
            Self::Name { .. } => ErrorKind::AddrNotAvailable,
            Self::Argument(_) | Self::NoNetwork { .. } => ErrorKind::Other,
        }
    }
}

impl From<landfall_net::Error> for Error {
    fn from(error: landfall_net::Error) -> Self {
        Self::Network(error)
    }
}

impl From<ArgumentError> for Error {
    fn from(error: ArgumentError) -> Self {
        Self::Argument(error)
    }
}
