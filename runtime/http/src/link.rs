//! [`Link`]: a socket whose every wait has a deadline.

use alloc::boxed::Box;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;

use edge_nal::{Close, Readable, TcpShutdown};
use embassy_time::{Duration, Instant};
use embedded_io_async::{Read, Write};

use crate::body::{Invitation, Source};
use crate::deadline::{Slot, Until};
use crate::{BodyError, Limits};

/// How long the client may take to acknowledge the end of a connection with nothing to say.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long, and how much, a client may go on sending after the last response. Closing at once
/// would make the client's system throw away the response together with the connection
/// (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;
/// What is thrown away is read in pieces so large.
const SCRATCH: usize = 128;

/// What a socket must be able to do.
pub(crate) trait Socket: Read + Write + Readable + TcpShutdown {}

impl<S: Read + Write + Readable + TcpShutdown> Socket for S {}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The deadline came.
    Expired,
    /// The connection is broken.
    Broken,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Nothing is under way: the client has closed its side, or has been idle for too long.
    Silent,
    /// The last response has been written, and the client may still be sending.
    Answered,
    /// Broken, or the client does not read.
    Abort,
}

/// A socket, its deadline and the limits.
pub(crate) struct Link<'s, S> {
    pub(crate) socket: S,
    pub(crate) peer: SocketAddr,
    pub(crate) slot: Slot<'s>,
    pub(crate) limits: &'s Limits,
}

impl<S: Socket> Link<'_, S> {
    /// Waits for something to read.
    pub(crate) async fn readable(&mut self, until: Until) -> Result<(), Failure> {
        flatten(self.slot.run(until, self.socket.readable()).await)
    }

    /// Reads some bytes; 0 is the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8], until: Until) -> Result<usize, Failure> {
        flatten(self.slot.run(until, self.socket.read(buffer)).await)
    }

    /// Writes all of a response, as long as the client takes it fast enough.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        let timeout = self.limits.write_timeout;
        let mut until = Until::Within(timeout);
        let mut last = None;
        while !bytes.is_empty() {
            let length = bytes.len();
            let written = flatten(self.slot.run(until, self.socket.write(bytes)).await)?;
            if written == 0 {
                return Err(Failure::Broken);
            }
            bytes = bytes.get(written..).unwrap_or_default();
            if !bytes.is_empty() {
                let next = Instant::now().saturating_add(timeout);
                let last = *last.get_or_insert_with(|| next.saturating_add(self.slowest(length)));
                until = Until::At(next.min(last));
            }
        }
        Ok(())
    }

    /// Returns how long the slowest client that is served needs for so many bytes.
    fn slowest(&self, bytes: usize) -> Duration {
        let rate = u64::from(self.limits.slowest_read.max(1));
        Duration::from_secs(bytes as u64 / rate)
    }

    /// Ends the connection.
    pub(crate) async fn end(&mut self, end: End) {
        let ended = match end {
            End::Silent => self.close(GOODBYE).await,
            End::Answered => self.close_and_linger().await,
            End::Abort => Err(Failure::Broken),
        };
        if ended.is_err() {
            // There is nobody left to tell whether this fails.
            let _ = self
                .slot
                .run(Until::Within(GOODBYE), self.socket.abort())
                .await;
        }
    }

    async fn close(&mut self, timeout: Duration) -> Result<(), Failure> {
        flatten(
            self.slot
                .run(Until::Within(timeout), self.socket.close(Close::Write))
                .await,
        )
    }

    async fn close_and_linger(&mut self) -> Result<(), Failure> {
        self.close(self.limits.write_timeout).await?;
        let last = Instant::now().saturating_add(LINGER);
        let mut discarded = 0;
        // Anything but more bytes is as good an end as any: the response has arrived.
        while discarded < LINGER_BYTES {
            let left = last.saturating_duration_since(Instant::now());
            match self.read(&mut [0; SCRATCH], Until::Idle(left)).await {
                Ok(count) if count > 0 => discarded += count,
                _ => break,
            }
        }
        Ok(())
    }
}

impl<S: Socket> Source for Link<'_, S> {
    fn more<'s>(
        &'s mut self,
        piece: &'s mut [u8],
        invitation: Invitation,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<usize, BodyError>> + 's>> {
        Box::pin(async move {
            if invitation == Invitation::Awaited {
                self.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            match self.read(piece, Until::At(until)).await? {
                0 => Err(BodyError::Disconnected),
                count => Ok(count),
            }
        })
    }
}

impl From<Failure> for BodyError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Expired => Self::TimedOut,
            Failure::Broken => Self::Disconnected,
        }
    }
}

fn flatten<T, X, E>(result: Result<Result<T, E>, X>) -> Result<T, Failure> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(Failure::Broken),
        Err(_) => Err(Failure::Expired),
    }
}
