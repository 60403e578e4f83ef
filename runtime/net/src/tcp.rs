//! The life of TCP connections, from their first segment to their last; [`crate::admission`] says
//! which of them there may be.

use core::net::SocketAddr;
use core::task::{Context, Poll};

use embassy_net_driver::TxToken;
use smoltcp::socket::tcp::{self, State};

use crate::Error;
use crate::clock::{self, Instant};
use crate::config::milliseconds;
use crate::connection::{Connection, ConnectionId, Endpoint, Owner, Work, time_key};
use crate::demux::{Flow, Segment};
use crate::listener::Backlog;
use crate::stack::Inner;

/// How much an orphan's peer may go on sending before it is told with a reset that nobody reads.
const DISCARD_LIMIT: usize = 256 * 1024;
/// So many connections in TIME-WAIT may keep memory that others could have.
const FEW_TIME_WAIT: usize = 8;

impl Inner {
    /// Listens on `port`.
    pub(crate) fn listen(&mut self, port: u16) -> Result<(), Error> {
        if port == 0 {
            return Err(Error::InvalidPort);
        }
        if self.listeners.has(port) {
            return Err(Error::PortInUse(port));
        }
        self.listeners.insert(port, Backlog::default());
        Ok(())
    }

    /// Stops listening: what was not accepted is reset.
    pub(crate) fn stop_listening(&mut self, port: u16) {
        let Some(backlog) = self.listeners.remove(port) else {
            return;
        };
        let (mut half_open, mut queue) = (backlog.half_open, backlog.queue);
        while let Some(id) = half_open.pop_first() {
            self.remove(id);
        }
        while let Some(id) = queue.pop_first() {
            self.abort(id);
            self.release(id);
        }
    }

    /// Starts to connect to `remote`.
    pub(crate) fn connect(&mut self, remote: SocketAddr) -> Result<(ConnectionId, Flow), Error> {
        let peer = self.reachable(remote)?;
        let broadcast = match remote {
            SocketAddr::V4(to) => self.address.is_some_and(|own| own.is_broadcast(*to.ip())),
            SocketAddr::V6(_) => false,
        };
        let own = self.interface.get_source_address(&peer.addr);
        let own = own.ok_or(Error::NoAddress)?;
        if broadcast || peer.addr.is_multicast() {
            return Err(Error::InvalidAddress(remote));
        }
        let now = clock::now();
        let mut socket = self.new_socket(now)?;
        let flow = |port| Flow::new((peer.addr, peer.port), (own, port));
        let port = self
            .ephemeral_port(|inner, port| {
                inner.flows.contains_key(&flow(port)) || inner.listeners.has(port)
            })
            .ok_or(Error::PortsExhausted)?;
        let flow = flow(port);
        socket
            .connect(self.interface.context(), peer, (own, port))
            .map_err(|_| Error::InvalidAddress(remote))?;
        let id = self.add(socket, flow, Owner::App, now)?;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.deadline = Some(now + milliseconds(self.config.connect_timeout_ms));
        }
        self.kick(Work::Tcp(id));
        Ok((id, flow))
    }

    /// Waits for the end of the handshake that [`Inner::connect`] began.
    pub(crate) fn poll_connected(
        &mut self,
        id: ConnectionId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(Error::ConnectionAborted));
        };
        match connection.socket().state() {
            State::SynSent | State::SynReceived => {
                connection.socket_mut().register_send_waker(cx.waker());
                Poll::Pending
            }
            State::Closed => {
                Poll::Ready(Err(connection.failure.unwrap_or(Error::ConnectionAborted)))
            }
            _ => {
                self.counters.connected += 1;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Takes a TCP segment.
    pub(crate) fn tcp_receive<T: TxToken>(
        &mut self,
        flow: Flow,
        segment: Segment,
        frame: &[u8],
        reply: T,
        now: Instant,
    ) {
        let id = match self.find(flow, segment) {
            Some(id) => id,
            None if segment == Segment::Open && self.listeners.has(flow.local_port()) => {
                match self.admit(flow, now) {
                    Some(id) => id,
                    None => return,
                }
            }
            None => {
                self.counters.no_socket += 1;
                return self.control_receive(frame, reply, now);
            }
        };
        let Some((before, after)) = self.tcp_give(id, frame, reply, now) else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(id) {
            connection.discard();
            if segment == Segment::Reset && before != after {
                self.note_reset(id, before);
            }
        }
        self.settle(id, now);
        self.mark(Work::Tcp(id));
    }

    /// Finds the connection of a segment.
    fn find(&mut self, flow: Flow, segment: Segment) -> Option<ConnectionId> {
        let &id = self.flows.get(&flow)?;
        let connection = self.connections.get(id)?;
        // A client that uses its port again opens a new connection while the old one is still in
        // TIME-WAIT (RFC 1122, 4.2.2.13).
        let over = connection.owner == Owner::Orphan
            && connection.socket().state() == State::TimeWait
            && segment == Segment::Open;
        if over {
            self.remove(id);
            return None;
        }
        Some(id)
    }

    fn note_reset(&mut self, id: ConnectionId, before: State) {
        self.counters.resets += 1;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.failure = Some(match before {
                State::SynSent => Error::ConnectionRefused,
                _ => Error::ConnectionReset,
            });
        }
    }

    /// Adds a connection to the table and to the map of flows.
    pub(crate) fn add(
        &mut self,
        socket: tcp::Socket<'static>,
        flow: Flow,
        owner: Owner,
        now: Instant,
    ) -> Result<ConnectionId, Error> {
        let endpoint = Endpoint::new(socket)?;
        let id = self.connections.insert(|id| Connection {
            id,
            endpoint,
            flow,
            owner,
            state_before: State::Closed,
            created: now,
            deadline: None,
            failure: None,
            discarding: false,
            full: false,
            discarded: 0,
            unsent: 0,
            time_wait: None,
        })?;
        self.flows.insert(flow, id);
        Ok(id)
    }

    /// Removes a connection and every trace of it, without a word to the peer.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(id) else {
            return;
        };
        let work = Work::Tcp(id);
        self.forget_flow(connection.flow, id);
        if let Some(backlog) = self.listeners.get_mut(connection.flow.local_port()) {
            backlog.half_open.remove(id);
            backlog.queue.remove(id);
        }
        if let Some(since) = connection.time_wait.take() {
            self.time_wait.remove(&(time_key(since), work));
        }
        if let Some(at) = connection.endpoint.timer.take() {
            self.timers.remove(&(time_key(at), work));
        }
        if let Some(neighbour) = connection.endpoint.waits_for.take() {
            self.waiting.remove(&(neighbour, work));
        }
        self.keep_spare(connection);
    }

    fn forget_flow(&mut self, flow: Flow, id: ConnectionId) {
        if self.flows.get(&flow) == Some(&id) {
            self.flows.remove(&flow);
        }
    }

    /// After anything that may have changed a connection's state: files it where it belongs now.
    pub(crate) fn settle(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let socket = connection.socket();
        let state = socket.state();
        // Closed, and not even a reset left to send.
        let gone = state == State::Closed && socket.remote_endpoint().is_none();
        let flow = connection.flow;
        match (connection.owner, state) {
            (Owner::HalfOpen, State::SynReceived) => {}
            // smoltcp goes back to LISTEN when the peer resets a half-open connection.
            (Owner::HalfOpen, State::Listen | State::Closed) => self.remove(id),
            (Owner::HalfOpen, _) => self.complete(id),
            (Owner::Queued, State::Closed) => self.remove(id),
            (Owner::Orphan, State::Closed) if gone => self.remove(id),
            (Owner::Orphan, State::TimeWait) => self.enter_time_wait(id, now),
            (_, State::Closed) => self.forget_flow(flow, id),
            _ => {}
        }
    }

    /// Puts a connection whose handshake is complete into its listener's queue.
    fn complete(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.owner = Owner::Queued;
        connection.deadline = None;
        self.counters.accepted += 1;
        if let Some(backlog) = self.listeners.get_mut(connection.flow.local_port()) {
            backlog.half_open.remove(id);
            backlog.queue.insert(id);
            backlog.wake_one();
        }
    }

    fn enter_time_wait(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.time_wait.is_some() {
            return;
        }
        connection.time_wait = Some(now);
        connection.deadline = None;
        self.time_wait.insert((time_key(now), Work::Tcp(id)));
        while self.time_wait.len() > self.config.max_time_wait
            || self.time_wait.len() > FEW_TIME_WAIT && self.time_wait_is_costly()
        {
            if !self.evict_time_wait() {
                return;
            }
        }
    }

    /// Removes the connection that has been in TIME-WAIT for the longest; returns whether there was one.
    pub(crate) fn evict_time_wait(&mut self) -> bool {
        let Some(&(_, Work::Tcp(oldest))) = self.time_wait.first() else {
            return false;
        };
        self.counters.time_wait_evicted += 1;
        self.remove(oldest);
        true
    }

    /// Lets go of a connection that an app held. What was written is still delivered.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        let now = clock::now();
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.owner = Owner::Orphan;
        connection.discarding = true;
        connection.discard();
        connection.socket_mut().close();
        connection.unsent = connection.socket().send_queue();
        connection.deadline = Some(now + milliseconds(self.config.orphan_timeout_ms));
        self.settle(id, now);
        self.kick(Work::Tcp(id));
    }

    /// Ends a connection with a reset.
    pub(crate) fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.failure.get_or_insert(Error::ConnectionAborted);
            connection.socket_mut().abort();
            let flow = connection.flow;
            self.forget_flow(flow, id);
            self.kick(Work::Tcp(id));
        }
    }

    /// Before a connection is asked for frames: looks at its limits, and remembers its state.
    pub(crate) fn tcp_before_send(&mut self, id: ConnectionId, now: Instant) {
        self.tcp_limits(id, now);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.state_before = connection.socket().state();
        }
    }

    /// Enforces a connection's deadline, and sets how long its peer may be silent.
    fn tcp_limits(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.deadline.is_some_and(|deadline| now >= deadline) {
            return self.tcp_deadline(id, now);
        }
        if connection.owner == Owner::Orphan && connection.discarded > DISCARD_LIMIT {
            connection.socket_mut().abort();
            self.counters.orphans_aborted += 1;
            return;
        }
        // smoltcp gives up after any silence this long, so it depends on what is expected: an
        // acknowledgement, or only an answer to one of two keep-alive probes.
        let owed = milliseconds(self.config.user_timeout_ms);
        let idle = self.config.idle_timeout();
        let socket = connection.socket_mut();
        match socket.state() {
            State::Closed | State::Listen | State::SynSent | State::SynReceived => {}
            State::FinWait1 | State::Closing | State::LastAck => socket.set_timeout(Some(owed)),
            _ if socket.send_queue() > 0 => socket.set_timeout(Some(owed)),
            State::Established => {
                socket.set_timeout(Some(idle));
                connection.deadline = None;
            }
            _ => socket.set_timeout(Some(idle)),
        }
    }

    fn tcp_deadline(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let unsent = connection.socket().send_queue();
        match connection.owner {
            Owner::HalfOpen => {
                self.counters.half_open_expired += 1;
                self.remove(id);
            }
            // The last data is on its way to a slow peer: go on as long as some of it arrives.
            Owner::Orphan if unsent < connection.unsent => {
                connection.unsent = unsent;
                connection.deadline = Some(now + milliseconds(self.config.orphan_timeout_ms));
            }
            // The reset that the abort below left behind could not be sent either.
            Owner::Orphan if connection.socket().state() == State::Closed => self.remove(id),
            Owner::Orphan => {
                self.counters.orphans_aborted += 1;
                connection.socket_mut().abort();
                connection.deadline = Some(now + milliseconds(self.config.orphan_timeout_ms));
            }
            Owner::App
                if matches!(
                    connection.socket().state(),
                    State::SynSent | State::SynReceived
                ) =>
            {
                self.counters.timeouts += 1;
                connection.failure = Some(Error::TimedOut);
                connection.deadline = None;
                connection.socket_mut().abort();
            }
            Owner::App | Owner::Queued => connection.deadline = None,
        }
    }

    /// After a connection was asked for frames. Returns its deadline.
    pub(crate) fn tcp_after_send(&mut self, id: ConnectionId, now: Instant) -> Option<Instant> {
        let connection = self.connections.get_mut(id)?;
        // Closed by smoltcp on its own: TIME-WAIT is over, the peer is silent, or the address that
        // the connection was made from is not ours any more.
        if connection.socket().state() == State::Closed {
            let before = core::mem::replace(&mut connection.state_before, State::Closed);
            let moved = !self.interface.has_ip_addr(connection.flow.local());
            match before {
                State::Closed | State::TimeWait => {}
                _ if moved => connection.failure = Some(Error::ConnectionAborted),
                _ => {
                    connection.failure = Some(Error::TimedOut);
                    self.counters.timeouts += 1;
                }
            }
        }
        self.settle(id, now);
        self.connections.get(id)?.deadline
    }
}
