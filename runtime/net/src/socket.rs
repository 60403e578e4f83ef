//! The socket of a TCP connection, as an app holds it.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use edge_nal::{Close, Readable, TcpShutdown, TcpSplit};
use embedded_io_async::{ErrorType, Read, Write};
use landfall_tcp::State;

use crate::connection::{ConnectionId, Work};
use crate::demux::Flow;
use crate::{Error, Stack};

/// Whoever found the send buffer full waits until one such part of it is free. In drips and drabs, as
/// acknowledgements free it, each packet would be as small as the acknowledgement of the last.
const ROOM_PART: usize = 4;

/// A TCP connection.
///
/// - `read` returns 0 at the end of the stream, that is after the peer's FIN.
/// - `write` copies what fits into the send buffer; when it was full, waits until a quarter is free.
/// - `flush` waits for nothing: what was written is sent as soon as the network task runs.
/// - `close(Close::Write)` sends a FIN after what was written and does not wait either.
/// - Dropping the socket closes it in good order: what was written is still delivered in the
///   background, what the peer still sends is thrown away, and a peer that neither takes nor closes
///   within ten seconds is reset.
pub struct TcpSocket {
    stack: Stack,
    id: ConnectionId,
    flow: Flow,
}

impl TcpSocket {
    pub(crate) fn new(stack: Stack, id: ConnectionId, flow: Flow) -> TcpSocket {
        TcpSocket { stack, id, flow }
    }

    /// Returns the peer's address and port.
    pub fn remote_address(&self) -> SocketAddr {
        SocketAddr::new(self.flow.remote().into(), self.flow.remote_port())
    }

    /// Returns this host's address and port.
    pub fn local_address(&self) -> SocketAddr {
        SocketAddr::new(self.flow.local().into(), self.flow.local_port())
    }

    /// Returns how many written bytes the peer has not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.stack.with(|inner| {
            inner
                .connections
                .get(self.id)
                .map_or(0, |found| found.tcp.queued())
        })
    }

    /// Ends the connection with a reset.
    pub fn reset(&mut self) {
        self.stack.with(|inner| inner.abort(self.id));
    }

    fn poll_read(&self, cx: &mut Context<'_>, data: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.stack.with(|inner| {
            let Some(connection) = inner.connections.get_mut(self.id) else {
                return Poll::Ready(Err(Error::ConnectionAborted));
            };
            if data.is_empty() || connection.discarding {
                return Poll::Ready(Ok(0));
            }
            let length = connection.tcp.read(&mut inner.pool, data);
            if length > 0 {
                // The window has grown: the peer may have to be told.
                inner.kick(Work::Tcp(self.id));
                return Poll::Ready(Ok(length));
            }
            if connection.tcp.is_finished() {
                return Poll::Ready(Ok(0));
            }
            if !connection.tcp.may_receive() {
                let failure = connection.failure.unwrap_or(Error::ConnectionReset);
                return Poll::Ready(Err(failure));
            }
            connection.wait_to_read(cx.waker());
            Poll::Pending
        })
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.stack.with(|inner| {
            let Some(connection) = inner.connections.get_mut(self.id) else {
                return Poll::Ready(Err(Error::ConnectionAborted));
            };
            let tcp = &connection.tcp;
            if connection.discarding || tcp.readable() > 0 || !tcp.may_receive() {
                return Poll::Ready(Ok(()));
            }
            connection.wait_to_read(cx.waker());
            Poll::Pending
        })
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>> {
        self.stack.with(|inner| {
            let Some(connection) = inner.connections.get_mut(self.id) else {
                return Poll::Ready(Err(Error::ConnectionAborted));
            };
            let tcp = &mut connection.tcp;
            if !tcp.may_send() {
                return Poll::Ready(Err(connection.failure.unwrap_or(Error::Closed)));
            }
            if data.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let room = tcp.room();
            if room == 0 || connection.full && room < tcp.send_capacity() / ROOM_PART {
                connection.full = true;
                connection.wait_to_write(cx.waker());
                return Poll::Pending;
            }
            connection.full = false;
            match tcp.write(&mut inner.pool, data) {
                // Memory is short; what is on its way may give some back.
                0 => {
                    inner.starving.register(cx.waker());
                    inner.kick(Work::Tcp(self.id));
                    Poll::Pending
                }
                length => {
                    inner.kick(Work::Tcp(self.id));
                    Poll::Ready(Ok(length))
                }
            }
        })
    }

    fn check(&self) -> Result<(), Error> {
        self.stack
            .with(|inner| match inner.connections.get(self.id) {
                Some(connection) => connection.failure.map_or(Ok(()), Err),
                None => Err(Error::ConnectionAborted),
            })
    }

    fn shut(&self, what: Close) {
        self.stack.with(|inner| {
            let Some(connection) = inner.connections.get_mut(self.id) else {
                return;
            };
            if matches!(what, Close::Read | Close::Both) {
                connection.discarding = true;
                connection.discard(&mut inner.pool);
            }
            if matches!(what, Close::Write | Close::Both) && connection.tcp.state() != State::Closed
            {
                connection.tcp.close();
            }
            inner.kick(Work::Tcp(self.id));
        });
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.stack.with(|inner| inner.release(self.id));
    }
}

impl core::fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "TcpSocket({} to {})",
            self.local_address(),
            self.remote_address()
        )
    }
}

impl ErrorType for TcpSocket {
    type Error = Error;
}

impl Read for TcpSocket {
    async fn read(&mut self, data: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read(cx, data)).await
    }
}

impl Write for TcpSocket {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.check()
    }
}

impl Readable for TcpSocket {
    async fn readable(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }
}

impl TcpShutdown for TcpSocket {
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        self.shut(what);
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), Error> {
        self.reset();
        Ok(())
    }
}

impl TcpSplit for TcpSocket {
    type Read<'a>
        = TcpReader<'a>
    where
        Self: 'a;
    type Write<'a>
        = TcpWriter<'a>
    where
        Self: 'a;

    fn split(&mut self) -> (TcpReader<'_>, TcpWriter<'_>) {
        (TcpReader(self), TcpWriter(self))
    }
}

/// The reading half of a [`TcpSocket`].
pub struct TcpReader<'a>(&'a TcpSocket);

impl ErrorType for TcpReader<'_> {
    type Error = Error;
}

impl Read for TcpReader<'_> {
    async fn read(&mut self, data: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_read(cx, data)).await
    }
}

impl Readable for TcpReader<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.0.poll_readable(cx)).await
    }
}

/// The writing half of a [`TcpSocket`].
pub struct TcpWriter<'a>(&'a TcpSocket);

impl ErrorType for TcpWriter<'_> {
    type Error = Error;
}

impl Write for TcpWriter<'_> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_write(cx, data)).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.0.check()
    }
}
