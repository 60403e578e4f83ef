//! Who gets a connection, and who has to make room for it.
//!
//! A SYN to a port that is listened on gets a connection of its own as long as the backlog, the
//! limit of connections and the memory allow. Where one of them does not, the SYN is dropped: its
//! client sends it again after a second. What happens to connections later is in [`crate::tcp`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use smoltcp::socket::tcp::{self, CongestionControl};

use crate::clock::{self, Duration, Instant};
use crate::config::{Buffers, milliseconds, rx_capacity};
use crate::connection::{Connection, ConnectionId, Owner};
use crate::demux::Flow;
use crate::stack::Inner;
use crate::{Config, Error};

/// A half-open connection younger than this makes room for nobody. It is longer than a handshake
/// over most networks: in a burst of honest clients the late ones try again after a second, and no
/// early one is cut off; in a flood each client still gets its turn.
const HALF_OPEN_MINIMUM: Duration = Duration::from_millis(250);
/// So many half-open connections are a crowd: those that come then get the least memory.
const CROWD: usize = 8;
/// Sockets that are kept without a connection, at most.
pub(crate) const SPARES: usize = 8;
/// How long each, if no connection takes it: the newest serves first, so in a row of connections there is
/// always one, and the others go.
const SPARE_LIFE: Duration = Duration::from_secs(1);
/// What a connection takes from the heap beside its buffers, generously.
const CONNECTION_OVERHEAD: usize = 2048;
/// A send buffer up to this many bytes needs no congestion control: it is the initial window of
/// RFC 6928, which any sender may put on the wire before it knows anything of the network.
const INITIAL_WINDOW: usize = 10 * 1460;

/// A connection that is over and whose large buffers another may have.
pub(crate) struct Spare {
    connection: Box<Connection>,
    /// Until when they are kept.
    pub(crate) until: Instant,
}

impl Inner {
    /// Makes a connection for a SYN, if there is room or room can be made.
    pub(crate) fn admit(&mut self, flow: Flow, now: Instant) -> Option<ConnectionId> {
        let port = flow.local_port();
        // No way back to it, so it could only fill the backlog.
        if self.next_hop(flow.remote()).is_none() {
            self.counters.dropped_bad_source += 1;
            return None;
        }
        let backlog = self.listeners.get(port)?;
        if backlog.len() >= self.config.backlog.max(1) {
            let oldest = backlog.half_open.first();
            if !self.evict_half_open(oldest, now) {
                self.counters.dropped_backlog += 1;
                return None;
            }
        }
        let socket = self.new_socket(now);
        match socket.and_then(|socket| self.open_half(flow, socket, now)) {
            Ok(id) => Some(id),
            Err(Error::TooManyConnections) => {
                self.counters.dropped_connections += 1;
                None
            }
            Err(_) => {
                self.counters.dropped_memory += 1;
                None
            }
        }
    }

    fn open_half(
        &mut self,
        flow: Flow,
        mut socket: tcp::Socket<'static>,
        now: Instant,
    ) -> Result<ConnectionId, Error> {
        socket
            .listen(flow.local_port())
            .map_err(|_| Error::InvalidPort)?;
        let id = self.add(socket, flow, Owner::HalfOpen, now)?;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.deadline = Some(now + milliseconds(self.config.half_open_timeout_ms));
        }
        if let Some(backlog) = self.listeners.get_mut(flow.local_port()) {
            backlog.half_open.insert(id);
        }
        Ok(id)
    }

    /// Makes a socket for one more connection within the limits, at the cost of those that matter
    /// least: sockets without connection first, then finished connections, then handshakes that take too
    /// long.
    pub(crate) fn new_socket(&mut self, now: Instant) -> Result<tcp::Socket<'static>, Error> {
        loop {
            // In a crowd of handshakes, which may be a flood, there is nothing to give away.
            let crowd = self.is_crowded();
            if !crowd
                && self.has_room(0).is_ok()
                && let Some(socket) = self.spare.pop().and_then(|it| it.connection.into_socket())
            {
                return Ok(prepare(socket, &self.config));
            }
            let buffers = self
                .config
                .buffers(if crowd { 0 } else { self.plentiful() });
            let shortage = match self.has_room(buffers.receive + buffers.send) {
                Ok(()) => return Ok(prepare(fresh(buffers)?, &self.config)),
                Err(shortage) => shortage,
            };
            if self.spare.pop().is_some() || self.evict_time_wait() {
                continue;
            }
            let oldest = self
                .listeners
                .values()
                .filter_map(|backlog| backlog.half_open.first())
                .min();
            if !self.evict_half_open(oldest, now) {
                return Err(shortage);
            }
        }
    }

    /// Returns whether there may be one more connection, with buffers of so many bytes.
    fn has_room(&self, buffers: usize) -> Result<(), Error> {
        if self.connections.len() >= self.config.max_connections {
            return Err(Error::TooManyConnections);
        }
        let app = self
            .config
            .app_memory
            .saturating_mul(self.connections.len() + 1);
        let kept = self
            .config
            .memory_reserve
            .saturating_add(buffers + CONNECTION_OVERHEAD)
            .saturating_add(app);
        match self.config.free_memory {
            Some(free) if free() < kept => Err(Error::OutOfMemory),
            _ => Ok(()),
        }
    }

    fn is_crowded(&self) -> bool {
        let half_open = self.listeners.values().map(|it| it.half_open.len());
        half_open.sum::<usize>() >= CROWD
    }

    /// Returns how many bytes are free beyond the half that is kept for many small connections.
    fn plentiful(&self) -> usize {
        let free = self.config.free_memory.map_or(0, |free| free());
        free.saturating_sub(self.free_at_start / 2)
    }

    /// Returns whether connections in TIME-WAIT should rather make room for new ones: half of what there is
    /// to give away is given.
    pub(crate) fn time_wait_is_costly(&self) -> bool {
        self.config.free_memory.is_some() && self.plentiful() < self.free_at_start / 4
    }

    /// Lets go of what was kept for other connections and nobody took in time.
    pub(crate) fn expire_spares(&mut self, now: Instant) {
        let over = self.spare.iter().take_while(|it| it.until <= now).count();
        self.spare.drain(..over);
    }

    /// Keeps the socket of a connection that is over, if its buffers are large: to fill others with
    /// zeros would take longer than all the rest of a connection's beginning.
    pub(crate) fn keep_spare(&mut self, mut connection: Box<Connection>) {
        let socket = connection.socket_mut();
        if socket.recv_capacity() > rx_capacity(self.config.rx_buffer) && self.spare.len() < SPARES
        {
            // Whoever waits for it is told.
            socket.abort();
            self.spare.push(Spare {
                connection,
                until: clock::now() + SPARE_LIFE,
            });
        }
    }

    fn evict_half_open(&mut self, oldest: Option<ConnectionId>, now: Instant) -> bool {
        let old_enough = oldest.filter(|&id| {
            self.connections
                .get(id)
                .is_some_and(|connection| now >= connection.created + HALF_OPEN_MINIMUM)
        });
        if let Some(id) = old_enough {
            self.counters.half_open_evicted += 1;
            self.remove(id);
        }
        old_enough.is_some()
    }
}

/// Returns a socket with new buffers.
fn fresh(buffers: Buffers) -> Result<tcp::Socket<'static>, Error> {
    Ok(tcp::Socket::new(
        tcp::SocketBuffer::new(buffer(buffers.receive)?),
        tcp::SocketBuffer::new(buffer(buffers.send)?),
    ))
}

/// Sets what all connections have in common.
fn prepare(mut socket: tcp::Socket<'static>, config: &Config) -> tcp::Socket<'static> {
    let control = match socket.send_capacity() {
        0..=INITIAL_WINDOW => CongestionControl::None,
        // Reno rather than CUBIC: integers only, so it needs no floating point unit.
        _ => CongestionControl::Reno,
    };
    socket.set_nagle_enabled(false);
    socket.set_congestion_control(control);
    socket.set_timeout(None);
    // Set before the handshake: set later, smoltcp would probe the peer at once.
    socket.set_keep_alive(Some(milliseconds(config.keep_alive_ms)));
    socket
}

/// Returns a zeroed buffer, or an error where `vec!` would end the program.
pub(crate) fn buffer(length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| Error::OutOfMemory)?;
    bytes.resize(length, 0);
    Ok(bytes)
}
