//! A TCP connection: the traits of `edge-nal` and `embedded-io-async`, passed on to whoever has it.

use crate::Error;
use edge_nal::{Close, Readable, TcpShutdown, TcpSplit};
use embedded_io_async::{ErrorType, Read, Write};

/// A TCP connection. Dropping it closes it in good order.
pub struct TcpSocket(Way);

enum Way {
    #[cfg(not(target_os = "none"))]
    Host(edge_nal_std::TcpSocket),
    Stack(landfall_net::TcpSocket),
}

/// The receiving half of a connection.
pub struct TcpReader<'a>(ReaderWay<'a>);

enum ReaderWay<'a> {
    #[cfg(not(target_os = "none"))]
    Host(&'a edge_nal_std::TcpSocket),
    Stack(landfall_net::TcpReader<'a>),
}

/// The sending half of a connection.
pub struct TcpWriter<'a>(WriterWay<'a>);

enum WriterWay<'a> {
    #[cfg(not(target_os = "none"))]
    Host(&'a edge_nal_std::TcpSocket),
    Stack(landfall_net::TcpWriter<'a>),
}

/// Does the same on whichever way the connection goes.
macro_rules! on {
    ($ways:ident, $this:expr, $connection:ident => $action:expr) => {
        match &mut $this {
            #[cfg(not(target_os = "none"))]
            $ways::Host($connection) => $action.await.map_err(Error::from),
            $ways::Stack($connection) => $action.await.map_err(Error::from),
        }
    };
}

impl ErrorType for TcpSocket {
    type Error = Error;
}

impl ErrorType for TcpReader<'_> {
    type Error = Error;
}

impl ErrorType for TcpWriter<'_> {
    type Error = Error;
}

impl Read for TcpSocket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        on!(Way, self.0, connection => connection.read(buffer))
    }
}

impl Read for TcpReader<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        on!(ReaderWay, self.0, connection => connection.read(buffer))
    }
}

impl Write for TcpSocket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        on!(Way, self.0, connection => connection.write(bytes))
    }

    async fn flush(&mut self) -> Result<(), Error> {
        on!(Way, self.0, connection => connection.flush())
    }
}

impl Write for TcpWriter<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        on!(WriterWay, self.0, connection => connection.write(bytes))
    }

    async fn flush(&mut self) -> Result<(), Error> {
        on!(WriterWay, self.0, connection => connection.flush())
    }
}

impl Readable for TcpSocket {
    async fn readable(&mut self) -> Result<(), Error> {
        on!(Way, self.0, connection => Readable::readable(connection))
    }
}

impl Readable for TcpReader<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        on!(ReaderWay, self.0, connection => Readable::readable(connection))
    }
}

impl TcpShutdown for TcpSocket {
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        on!(Way, self.0, connection => connection.close(what))
    }

    async fn abort(&mut self) -> Result<(), Error> {
        on!(Way, self.0, connection => connection.abort())
    }
}

impl TcpSplit for TcpSocket {
    type Read<'a> = TcpReader<'a>;
    type Write<'a> = TcpWriter<'a>;

    fn split(&mut self) -> (TcpReader<'_>, TcpWriter<'_>) {
        match &mut self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(connection) => {
                let (reader, writer) = connection.split();
                (
                    TcpReader(ReaderWay::Host(reader)),
                    TcpWriter(WriterWay::Host(writer)),
                )
            }
            Way::Stack(connection) => {
                let (reader, writer) = connection.split();
                (
                    TcpReader(ReaderWay::Stack(reader)),
                    TcpWriter(WriterWay::Stack(writer)),
                )
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
impl From<edge_nal_std::TcpSocket> for TcpSocket {
    fn from(connection: edge_nal_std::TcpSocket) -> Self {
        Self(Way::Host(connection))
    }
}

impl From<landfall_net::TcpSocket> for TcpSocket {
    fn from(connection: landfall_net::TcpSocket) -> Self {
        Self(Way::Stack(connection))
    }
}
