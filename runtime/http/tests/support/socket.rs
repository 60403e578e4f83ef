//! Sockets in memory: what the server sees is a [`Socket`], what the test holds is a [`Client`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};

use edge_nal::{Close, Readable, TcpAccept, TcpShutdown, TcpSplit};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// What goes wrong in a fake network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FakeError {
    /// Of a socket or an acceptor, for once.
    Broken,
    /// Of an acceptor: there will be no more connections.
    Closed,
}

impl std::fmt::Display for FakeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "fake error: {self:?}")
    }
}

impl std::error::Error for FakeError {}

impl embedded_io_async::Error for FakeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Broken => ErrorKind::Other,
            Self::Closed => ErrorKind::NotConnected,
        }
    }
}

/// Both directions of a connection.
#[derive(Default)]
struct Wire {
    to_server: VecDeque<u8>,
    client_done: bool,
    to_client: Vec<u8>,
    /// How much more the client's side takes.
    window: usize,
    /// How much one `read` or `write` of the server moves at most.
    piece: usize,
    writes: usize,
    server_done: bool,
    dropped: bool,
    aborted: bool,
    reset: bool,
    acknowledges_end: bool,
    waker: Option<Waker>,
}

impl Wire {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

type Shared = Rc<RefCell<Wire>>;

pub fn pair() -> (Client, Socket) {
    let wire = Wire {
        window: usize::MAX,
        piece: usize::MAX,
        acknowledges_end: true,
        ..Wire::default()
    };
    let wire = Rc::new(RefCell::new(wire));
    (Client(Rc::clone(&wire)), Socket(wire))
}

/// The test's side.
pub struct Client(Shared);

impl Client {
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut wire = self.0.borrow_mut();
        wire.to_server.extend(bytes.as_ref());
        wire.wake();
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        let mut wire = self.0.borrow_mut();
        wire.client_done = true;
        wire.wake();
    }

    /// Breaks the connection.
    pub fn reset(&self) {
        let mut wire = self.0.borrow_mut();
        wire.reset = true;
        wire.wake();
    }

    /// Takes so many more bytes of the response, until it is opened further.
    pub fn set_window(&self, bytes: usize) {
        let mut wire = self.0.borrow_mut();
        wire.window = bytes;
        wire.wake();
    }

    /// Lets each read and write move no more than this.
    pub fn set_piece(&self, bytes: usize) {
        self.0.borrow_mut().piece = bytes;
    }

    /// Never acknowledges the end of the connection.
    pub fn ignore_end(&self) {
        self.0.borrow_mut().acknowledges_end = false;
    }

    /// Takes what has arrived.
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().to_client)
    }

    pub fn received_text(&self) -> String {
        String::from_utf8(self.received()).expect("text")
    }

    /// How often the server wrote.
    pub fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    /// What the server has not read.
    pub fn unread(&self) -> usize {
        self.0.borrow().to_server.len()
    }

    /// Whether the server has closed its side.
    pub fn is_closed(&self) -> bool {
        let wire = self.0.borrow();
        wire.server_done || wire.dropped
    }

    /// Whether the server has let go of the connection.
    pub fn is_gone(&self) -> bool {
        self.0.borrow().dropped
    }

    pub fn is_aborted(&self) -> bool {
        self.0.borrow().aborted
    }
}

/// The server's side.
pub struct Socket(Shared);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.borrow_mut().dropped = true;
    }
}

impl ErrorType for Socket {
    type Error = FakeError;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FakeError> {
        assert!(!buffer.is_empty(), "a read into nothing looks like the end");
        poll_fn(|context| {
            let mut wire = self.0.borrow_mut();
            if wire.reset {
                return Poll::Ready(Err(FakeError::Broken));
            }
            if wire.to_server.is_empty() && !wire.client_done {
                wire.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            let count = buffer.len().min(wire.to_server.len()).min(wire.piece);
            for (target, byte) in buffer.iter_mut().zip(wire.to_server.drain(..count)) {
                *target = byte;
            }
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Readable for Socket {
    async fn readable(&mut self) -> Result<(), FakeError> {
        poll_fn(|context| {
            let mut wire = self.0.borrow_mut();
            if !wire.to_server.is_empty() || wire.client_done || wire.reset {
                return Poll::Ready(Ok(()));
            }
            wire.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, FakeError> {
        poll_fn(|context| {
            let mut wire = self.0.borrow_mut();
            assert!(!wire.server_done, "a write after the end");
            if wire.reset {
                return Poll::Ready(Err(FakeError::Broken));
            }
            let count = bytes.len().min(wire.window).min(wire.piece);
            if count == 0 {
                wire.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            wire.window -= count;
            wire.writes += 1;
            wire.to_client.extend(&bytes[..count]);
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), FakeError> {
        panic!("the server needs no flush");
    }
}

impl TcpShutdown for Socket {
    async fn close(&mut self, what: Close) -> Result<(), FakeError> {
        assert_eq!(what, Close::Write);
        poll_fn(|_| {
            let mut wire = self.0.borrow_mut();
            wire.server_done = true;
            match (wire.reset, wire.acknowledges_end) {
                (true, _) => Poll::Ready(Err(FakeError::Broken)),
                (false, true) => Poll::Ready(Ok(())),
                (false, false) => Poll::Pending,
            }
        })
        .await
    }

    async fn abort(&mut self) -> Result<(), FakeError> {
        self.0.borrow_mut().aborted = true;
        Ok(())
    }
}

impl TcpSplit for Socket {
    type Read<'a> = &'a mut Self;
    type Write<'a> = Socket;

    fn split(&mut self) -> (Self::Read<'_>, Self::Write<'_>) {
        unreachable!("the server does not split sockets")
    }
}

/// Connections that wait to be accepted.
#[derive(Default)]
pub struct Backlog {
    pub queue: VecDeque<Result<Socket, FakeError>>,
    waker: Option<Waker>,
}

impl Backlog {
    pub fn push(&mut self, connection: Result<Socket, FakeError>) {
        self.queue.push_back(connection);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub struct Listener(pub Rc<RefCell<Backlog>>);

impl TcpAccept for Listener {
    type Error = FakeError;
    type Socket<'a> = Socket;

    async fn accept(&self) -> Result<(SocketAddr, Socket), FakeError> {
        poll_fn(|context| {
            let mut backlog = self.0.borrow_mut();
            match backlog.queue.pop_front() {
                Some(connection) => {
                    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50000));
                    Poll::Ready(connection.map(|socket| (peer, socket)))
                }
                None => {
                    backlog.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
