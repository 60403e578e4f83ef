//! The life of TCP connections, from their first segment to their last; [`crate::admission`] says
//! which of them there may be.

use core::net::SocketAddr;
use core::task::{Context, Poll};

use embassy_net_driver::{Driver, TxToken};
use landfall_offload::segmentation::{LONGEST, LargeFrame, SegmentationOffload};
use landfall_tcp::{Flags, Header, Micros, Outgoing, Retransmission, Segment, Seq, State, Verdict};
use smoltcp::wire::IpAddress;

use crate::Error;
use crate::clock::{self, Duration, Instant};
use crate::config::milliseconds;
use crate::connection::{Connection, ConnectionId, Owner, Schedule, Work, neighbour_key, time_key};
#[cfg(feature = "ipv6")]
use crate::demux::ipv6;
use crate::demux::{ETHERNET_HEADER, Flow, IPV4_HEADER};
use crate::device::Meter;
use crate::listener::Backlog;
use crate::runner::Sent;
use crate::segments::Route;
use crate::stack::Inner;

/// Bytes of one connection before it is the turn of the next: as many as a card takes at once.
const BURST: u64 = LONGEST as u64;
/// How often a neighbour is asked for that does not answer (RFC 1122, 2.3.2.1: at most once a second).
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After so many segments in a row that nobody acknowledged, the neighbour may be another one.
const SUSPICIOUS: u8 = 2;
/// Bytes of TCP's header, and of one with all options that there is room for (RFC 9293, 3.1).
const TCP_HEADER: usize = 20;
const LONGEST_TCP_HEADER: usize = 60;

/// How much an orphan's peer may go on sending before it is told with a reset that nobody reads.
const DISCARD_LIMIT: usize = 256 * 1024;

/// Returns a time as `landfall-tcp` has it.
pub(crate) fn micros(at: Instant) -> Micros {
    Micros::try_from(at.total_micros()).unwrap_or(0)
}

fn instant(at: Micros) -> Instant {
    Instant::from_micros(i64::try_from(at).unwrap_or(i64::MAX))
}

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
        let flow = |port| Flow::new((peer.addr, peer.port), (own, port));
        let port = self
            .ephemeral_port(|inner, port| {
                inner.flows.get(flow(port), &inner.connections).is_some()
                    || inner.listeners.has(port)
            })
            .ok_or(Error::PortsExhausted)?;
        let flow = flow(port);
        let settings = self.room_for_one(flow, now)?;
        let first = self.first_number();
        let tcp = landfall_tcp::Connection::connect(settings, first, micros(now));
        let id = self.add(tcp, flow, Owner::App, now)?;
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
        match connection.tcp.state() {
            State::SynSent | State::SynReceived => {
                connection.wait_to_write(cx.waker());
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

    /// The first number of a connection, which nobody can guess.
    pub(crate) fn first_number(&mut self) -> Seq {
        Seq(self.random() as u32)
    }

    /// Bytes of data that fit into one packet of a flow.
    pub(crate) fn segment_size(&self, flow: Flow) -> usize {
        let ip = match flow.local() {
            IpAddress::Ipv4(_) => IPV4_HEADER,
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(_) => ipv6::HEADER,
        };
        self.capabilities.max_transmission_unit - ETHERNET_HEADER - ip - TCP_HEADER
    }

    /// Takes a TCP segment: the bytes from `start` up to `end` of a frame.
    pub(crate) fn tcp_receive<T: TxToken>(
        &mut self,
        flow: Flow,
        (start, end): (usize, usize),
        frame: &[u8],
        reply: T,
        now: Instant,
    ) {
        let Some(segment) = frame.get(start..end).and_then(Segment::read) else {
            return;
        };
        let hop = crate::demux::sender(frame);
        let asks = segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK);
        let id = match self.find(flow, asks) {
            Some(id) => id,
            None if asks && self.listeners.has(flow.local_port()) => {
                if let Some(id) = self.admit(flow, &segment, hop, now) {
                    self.mark(Work::Tcp(id));
                }
                return;
            }
            None => {
                self.counters.no_socket += 1;
                return self.refuse(flow, &segment, hop, reply);
            }
        };
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let before = connection.tcp.state();
        match connection
            .tcp
            .receive(&segment, &mut self.pool, micros(now))
        {
            Verdict::Foreign => return self.refuse(flow, &segment, hop, reply),
            Verdict::Reset => self.note_reset(id, before),
            Verdict::NoMemory => self.counters.dropped_data += 1,
            Verdict::Taken => {}
        }
        let mut settled = None;
        if let Some(connection) = self.connections.get_mut(id) {
            // What is only aimed at it by somebody who guesses takes it nowhere else.
            if connection.tcp.is_heard(micros(now)) {
                connection.hop = Some(hop);
            }
            connection.discard(&mut self.pool);
            connection.wake();
            if connection.tcp.is_settled() {
                settled = connection.tcp.poll_at();
            }
        }
        self.settle(id, now);
        match settled {
            // An acknowledgement of what was sent, say: there is nothing to ask for.
            Some(at) => self.set_timer(Work::Tcp(id), instant(at)),
            None => self.mark(Work::Tcp(id)),
        }
    }

    /// Answers a segment that belongs to no connection with a reset.
    fn refuse<T: TxToken>(&mut self, flow: Flow, segment: &Segment<'_>, hop: [u8; 6], reply: T) {
        if let Some(header) = Header::refusal(segment) {
            let meter = self.route(flow, hop).send(reply, &header, 0, |_| ());
            self.count_sent(meter);
        }
    }

    fn route(&self, flow: Flow, hop: [u8; 6]) -> Route {
        Route {
            hardware: self.hardware,
            hop,
            flow,
            duty: self.duty,
        }
    }

    /// Finds the connection of a segment, which `asks` for one or not.
    fn find(&mut self, flow: Flow, asks: bool) -> Option<ConnectionId> {
        let id = self.flows.get(flow, &self.connections)?;
        let connection = self.connections.get(id)?;
        // A client that uses its port again opens a new connection while the old one is still in
        // TIME-WAIT (RFC 1122, 4.2.2.13).
        let over =
            connection.owner == Owner::Orphan && connection.tcp.state() == State::TimeWait && asks;
        if over {
            self.remove(id);
            return None;
        }
        Some(id)
    }

    /// Asks a connection for segments and sends them.
    pub(crate) fn tcp_send<D: SegmentationOffload>(
        &mut self,
        id: ConnectionId,
        device: &mut D,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Sent {
        if !self.find_neighbour(id, device, cx, now) {
            return Sent::DeviceFull;
        }
        let Some(connection) = self.connections.get(id) else {
            return Sent::All(None);
        };
        let Some(hop) = connection.hop else {
            return Sent::All(Some(now + ASK_EVERY));
        };
        let route = self.route(connection.flow, hop);
        let large = match device.segments(route.version()) {
            true => (LONGEST - route.lead() - LONGEST_TCP_HEADER) as u32,
            false => 0,
        };
        let mut sent = Meter::default();
        let result = loop {
            let Some(connection) = self.connections.get_mut(id) else {
                break Sent::All(None);
            };
            let Some(outgoing) = connection.tcp.poll(&mut self.pool, micros(now), large) else {
                break Sent::All(connection.tcp.poll_at().map(instant));
            };
            if sent.bytes >= BURST {
                break Sent::Some(sent.frames as usize);
            }
            let Some(meter) = send_segment(&route, &outgoing, &connection.tcp, device, cx) else {
                break Sent::DeviceFull;
            };
            match connection.tcp.sent(&outgoing, micros(now)) {
                None => {}
                Some(Retransmission::Timeout(segments)) => {
                    self.counters.retransmits_timeout += u64::from(segments);
                }
                Some(Retransmission::Recovery(segments)) => {
                    self.counters.retransmits_recovery += u64::from(segments);
                }
            }
            sent.frames += meter.frames;
            sent.bytes += meter.bytes;
            if connection.tcp.is_settled() {
                break Sent::All(connection.tcp.poll_at().map(instant));
            }
        };
        self.count_sent(sent);
        result
    }

    /// Asks for the hardware address of a connection's next hop, where it is not known or seems to be wrong. Returns
    /// whether the device had room for that.
    fn find_neighbour<D: Driver>(
        &mut self,
        id: ConnectionId,
        device: &mut D,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> bool {
        let Some(connection) = self.connections.get(id) else {
            return true;
        };
        let wanted = connection.hop.is_none() || connection.tcp.unanswered() >= SUSPICIOUS;
        let asked = connection.hop_asked.is_some_and(|at| now < at + ASK_EVERY);
        if !wanted || asked {
            return true;
        }
        let flow = connection.flow;
        let Some(neighbour) = self.next_hop(flow.remote()) else {
            return true;
        };
        let meter = match (flow.local(), neighbour) {
            (IpAddress::Ipv4(own), IpAddress::Ipv4(target)) => {
                crate::announce::ask(self.hardware, own, target, device, cx)
            }
            #[cfg(feature = "ipv6")]
            (IpAddress::Ipv6(own), IpAddress::Ipv6(target)) => {
                crate::ndisc::Message::Resolve(own, target).send(self.hardware, device, cx)
            }
            #[cfg(feature = "ipv6")]
            _ => return true,
        };
        let Some(meter) = meter else {
            return false;
        };
        self.count_sent(meter);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.hop_asked = Some(now);
        }
        self.file_under(Work::Tcp(id), neighbour_key(Some(neighbour)));
        true
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
        tcp: landfall_tcp::Connection,
        flow: Flow,
        owner: Owner,
        now: Instant,
    ) -> Result<ConnectionId, Error> {
        self.flows.reserve(&self.connections)?;
        let id = self.connections.insert(|id| Connection {
            id,
            tcp,
            reader: None,
            writer: None,
            flow,
            hop: None,
            hop_asked: None,
            schedule: Schedule::default(),
            owner,
            created: now,
            deadline: None,
            failure: None,
            discarding: false,
            full: false,
            discarded: 0,
            unsent: 0,
            time_wait: None,
        })?;
        self.flows.insert(flow, id, &self.connections);
        Ok(id)
    }

    /// Removes a connection and every trace of it, without a word to the peer.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(id) else {
            return;
        };
        let work = Work::Tcp(id);
        self.flows.remove(connection.flow, id);
        if let Some(backlog) = self.listeners.get_mut(connection.flow.local_port()) {
            backlog.half_open.remove(id);
            backlog.queue.remove(id);
        }
        if let Some(since) = connection.time_wait.take() {
            self.time_wait.remove(&(time_key(since), work));
        }
        if let Some(at) = connection.schedule.timer.take() {
            self.timers.remove(&(time_key(at), work));
        }
        if let Some(neighbour) = connection.schedule.waits_for.take() {
            self.waiting.remove(&(neighbour, work));
        }
        // Whoever waits for it is told.
        let waiting = connection.reader.take().into_iter();
        waiting
            .chain(connection.writer.take())
            .for_each(|waker| waker.wake());
        connection.tcp.release(&mut self.pool);
    }

    /// After anything that may have changed a connection's state: files it where it belongs now.
    pub(crate) fn settle(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let state = connection.tcp.state();
        let gone = connection.tcp.is_gone();
        let flow = connection.flow;
        match (connection.owner, state) {
            (Owner::HalfOpen, State::SynReceived) => {}
            (Owner::HalfOpen, State::Closed) => self.remove(id),
            (Owner::HalfOpen, _) => self.complete(id),
            (Owner::Queued, State::Closed) if gone => self.remove(id),
            (Owner::Orphan, State::Closed) if gone => self.remove(id),
            (Owner::Orphan, State::TimeWait) => self.enter_time_wait(id, now),
            (_, State::Closed) => self.flows.remove(flow, id),
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
        while self.time_wait.len() > self.config.max_time_wait && self.evict_time_wait() {}
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
        connection.discard(&mut self.pool);
        (connection.reader, connection.writer) = (None, None);
        connection.tcp.close();
        connection.unsent = connection.tcp.queued();
        connection.deadline = Some(now + milliseconds(self.config.orphan_timeout_ms));
        self.settle(id, now);
        self.kick(Work::Tcp(id));
    }

    /// Ends a connection with a reset.
    pub(crate) fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.failure.get_or_insert(Error::ConnectionAborted);
            connection.tcp.abort(&mut self.pool);
            connection.wake();
            let flow = connection.flow;
            self.flows.remove(flow, id);
            self.kick(Work::Tcp(id));
        }
    }

    /// Ends the connections from an address that is not this host's any more, without a word.
    pub(crate) fn abandon_moved(&mut self) {
        for id in self.connections.ids() {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            let moved = !self.interface.has_ip_addr(connection.flow.local());
            if moved && connection.tcp.state() != State::Closed {
                connection.failure = Some(Error::ConnectionAborted);
                connection.tcp.abandon(&mut self.pool);
                connection.wake();
            }
            self.mark(Work::Tcp(id));
        }
    }

    /// Before a connection is asked for segments: enforces its limits.
    pub(crate) fn tcp_before_send(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.deadline.is_some_and(|deadline| now >= deadline) {
            return self.tcp_deadline(id, now);
        }
        if connection.owner == Owner::Orphan && connection.discarded > DISCARD_LIMIT {
            connection.tcp.abort(&mut self.pool);
            self.counters.orphans_aborted += 1;
            connection.discarded = 0;
        }
    }

    fn tcp_deadline(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let unsent = connection.tcp.queued();
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
            Owner::Orphan if connection.tcp.state() == State::Closed => self.remove(id),
            Owner::Orphan => {
                self.counters.orphans_aborted += 1;
                connection.tcp.abort(&mut self.pool);
                connection.deadline = Some(now + milliseconds(self.config.orphan_timeout_ms));
            }
            Owner::App if matches!(connection.tcp.state(), State::SynSent | State::SynReceived) => {
                self.counters.timeouts += 1;
                connection.failure = Some(Error::TimedOut);
                connection.deadline = None;
                connection.tcp.abort(&mut self.pool);
                connection.wake();
            }
            Owner::App | Owner::Queued => connection.deadline = None,
        }
    }

    /// After a connection was asked for segments. Returns its deadline.
    pub(crate) fn tcp_after_send(&mut self, id: ConnectionId, now: Instant) -> Option<Instant> {
        let connection = self.connections.get_mut(id)?;
        if connection.tcp.has_timed_out() && connection.failure.is_none() {
            connection.failure = Some(Error::TimedOut);
            self.counters.timeouts += 1;
        }
        connection.wake();
        self.settle(id, now);
        self.connections.get(id)?.deadline
    }
}

/// Sends one segment, or those that a card makes of one frame; `None` where the device has no room.
fn send_segment<D: SegmentationOffload>(
    route: &Route,
    outgoing: &Outgoing,
    tcp: &landfall_tcp::Connection,
    device: &mut D,
    cx: &mut Context<'_>,
) -> Option<Meter> {
    let header = &outgoing.header;
    let data = |place: &mut [u8]| tcp.copy_data(outgoing, place);
    if outgoing.length <= outgoing.mss.into() {
        let token = device.transmit(cx)?;
        return Some(route.send(token, header, outgoing.length, data));
    }
    let headers = route.lead() + header.length();
    let frame = LargeFrame {
        length: headers + outgoing.length,
        headers,
        mss: outgoing.mss,
        version: route.version(),
    };
    let sent = device.send_large(cx, frame, |place| route.write(place, header, data));
    sent.then(|| Meter::one(frame.length))
}
