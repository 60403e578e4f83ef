//! Listening: the backlog of a port, and the socket an app accepts from.

use alloc::collections::VecDeque;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::connection::Owner;
use crate::lists::Ids;
use crate::{Error, Stack, TcpSocket};

/// What the stack keeps for a port that is listened on.
#[derive(Default)]
pub(crate) struct Backlog {
    /// Connections in the middle of their handshake, oldest first.
    pub(crate) half_open: Ids,
    /// Established connections that wait to be accepted, oldest first.
    pub(crate) queue: Ids,
    /// The tasks that wait in `accept`, each with its ticket.
    waiting: VecDeque<(u64, Waker)>,
    tickets: u64,
}

impl Backlog {
    /// Returns how many connections are half-open or unaccepted.
    pub(crate) fn len(&self) -> usize {
        self.half_open.len() + self.queue.len()
    }

    /// Wakes the task that has waited longest. One connection is for one task.
    pub(crate) fn wake_one(&mut self) {
        if let Some((_, waker)) = self.waiting.pop_front() {
            waker.wake();
        }
    }

    /// Wakes all tasks: there will be no more connections.
    pub(crate) fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(|(_, waker)| waker.wake());
    }

    fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        let mine = self
            .waiting
            .iter_mut()
            .find(|(known, _)| Some(*known) == *ticket);
        if let Some((_, known)) = mine {
            known.clone_from(waker);
            return;
        }
        self.tickets += 1;
        *ticket = Some(self.tickets);
        self.waiting.push_back((self.tickets, waker.clone()));
    }

    /// Takes back a ticket. A task that was woken and does not take its connection passes it on.
    fn leave(&mut self, ticket: u64) {
        let place = self.waiting.iter().position(|(known, _)| *known == ticket);
        match place {
            Some(place) => drop(self.waiting.remove(place)),
            None if self.queue.len() > 0 => self.wake_one(),
            None => {}
        }
    }
}

/// A TCP port that this host listens on.
///
/// Several tasks may accept from one listener. Dropping it resets the connections that were not
/// accepted.
pub struct TcpListener {
    stack: Stack,
    port: u16,
}

impl TcpListener {
    pub(crate) fn new(stack: Stack, port: u16) -> TcpListener {
        TcpListener { stack, port }
    }

    /// Returns the port.
    pub fn local_port(&self) -> u16 {
        self.port
    }

    /// Waits for a connection and returns its peer's address and its socket.
    pub async fn accept(&self) -> Result<(SocketAddr, TcpSocket), Error> {
        Accept {
            listener: self,
            ticket: None,
        }
        .await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.stack.with(|inner| inner.stop_listening(self.port));
    }
}

impl edge_nal::TcpAccept for TcpListener {
    type Error = Error;
    type Socket<'a>
        = TcpSocket
    where
        Self: 'a;

    async fn accept(&self) -> Result<(SocketAddr, TcpSocket), Error> {
        TcpListener::accept(self).await
    }
}

struct Accept<'a> {
    listener: &'a TcpListener,
    ticket: Option<u64>,
}

impl Future for Accept<'_> {
    type Output = Result<(SocketAddr, TcpSocket), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let TcpListener { stack, port } = this.listener;
        if stack.with(|inner| inner.shutting_down) {
            return Poll::Ready(Err(Error::ShuttingDown));
        }
        let accepted = stack.with(|inner| {
            let backlog = inner.listeners.get_mut(*port)?;
            // The queue names living connections only; were one dead, the next would do.
            let connection = loop {
                let Some(id) = backlog.queue.pop_first() else {
                    backlog.wait(&mut this.ticket, cx.waker());
                    return None;
                };
                if let Some(connection) = inner.connections.get_mut(id) {
                    break connection;
                }
            };
            if let Some(ticket) = this.ticket.take() {
                backlog.leave(ticket);
            }
            connection.owner = Owner::App;
            Some((connection.id, connection.flow))
        });
        let Some((id, flow)) = accepted else {
            return Poll::Pending;
        };
        let socket = TcpSocket::new(stack.clone(), id, flow);
        Poll::Ready(Ok((socket.remote_address(), socket)))
    }
}

impl Drop for Accept<'_> {
    fn drop(&mut self) {
        let (Some(ticket), port) = (self.ticket, self.listener.port) else {
            return;
        };
        self.listener.stack.with(|inner| {
            if let Some(backlog) = inner.listeners.get_mut(port) {
                backlog.leave(ticket);
            }
        });
    }
}
