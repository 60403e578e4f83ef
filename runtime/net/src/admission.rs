//! Who gets a connection, and who has to make room for it.
//!
//! A SYN to a port that is listened on gets a connection of its own as long as the backlog, the
//! limit of connections and the memory allow. Where one of them does not, the SYN is dropped: its
//! client sends it again after a second. What happens to connections later is in [`crate::tcp`].

use alloc::vec::Vec;

use smoltcp::socket::tcp::{self, CongestionControl};

use crate::Error;
use crate::clock::{Duration, Instant};
use crate::config::{Buffers, milliseconds};
use crate::connection::{ConnectionId, Owner};
use crate::demux::Flow;
use crate::stack::Inner;

/// A half-open connection younger than this makes room for nobody. It is longer than a handshake
/// over most networks: in a burst of honest clients the late ones try again after a second, and no
/// early one is cut off; in a flood each client still gets its turn.
const HALF_OPEN_MINIMUM: Duration = Duration::from_millis(250);
/// So many half-open connections are a crowd: those that come then get the least memory.
const CROWD: usize = 32;
/// What a connection takes from the heap beside its buffers, generously.
const CONNECTION_OVERHEAD: usize = 2048;
/// A send buffer up to this many bytes needs no congestion control: it is the initial window of
/// RFC 6928, which any sender may put on the wire before it knows anything of the network.
const INITIAL_WINDOW: usize = 10 * 1460;

impl Inner {
    /// Makes a connection for a SYN, if there is room or room can be made.
    pub(crate) fn admit(&mut self, flow: Flow, now: Instant) -> Option<ConnectionId> {
        let port = flow.local_port();
        // No way back to it, so it could only fill the backlog.
        if self.next_hop(flow.remote()).is_none() {
            self.counters.dropped_bad_source += 1;
            return None;
        }
        let backlog = self.listeners.get(&port)?;
        if backlog.len() >= self.config.backlog.max(1) {
            let oldest = backlog.half_open.first().copied();
            if !self.evict_half_open(oldest, now) {
                self.counters.dropped_backlog += 1;
                return None;
            }
        }
        let room = self.make_room(now);
        match room.and_then(|buffers| self.open_half(flow, buffers, now)) {
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
        buffers: Buffers,
        now: Instant,
    ) -> Result<ConnectionId, Error> {
        let mut socket = self.new_socket(buffers)?;
        socket
            .listen(flow.local_port())
            .map_err(|_| Error::InvalidPort)?;
        let id = self.add(socket, flow, Owner::HalfOpen, now)?;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.deadline = Some(now + milliseconds(self.config.half_open_timeout_ms));
        }
        if let Some(backlog) = self.listeners.get_mut(&flow.local_port()) {
            backlog.half_open.insert(id);
        }
        Ok(id)
    }

    /// Makes sure that one more connection is within the limits, at the cost of those that matter
    /// least: finished ones first, then handshakes that take too long. Returns the buffers that it may
    /// have.
    pub(crate) fn make_room(&mut self, now: Instant) -> Result<Buffers, Error> {
        loop {
            let shortage = match self.has_room() {
                Ok(buffers) => return Ok(buffers),
                Err(shortage) => shortage,
            };
            if let Some(&(_, id)) = self.time_wait.first() {
                self.counters.time_wait_evicted += 1;
                self.remove(id);
                continue;
            }
            let oldest = self
                .listeners
                .values()
                .filter_map(|backlog| backlog.half_open.first())
                .min();
            if !self.evict_half_open(oldest.copied(), now) {
                return Err(shortage);
            }
        }
    }

    fn has_room(&self) -> Result<Buffers, Error> {
        if self.connections.len() >= self.config.max_connections {
            return Err(Error::TooManyConnections);
        }
        let buffers = self.config.buffers(self.plentiful());
        let needed = buffers.receive + buffers.send + CONNECTION_OVERHEAD;
        let app = self
            .config
            .app_memory
            .saturating_mul(self.connections.len() + 1);
        let kept = self
            .config
            .memory_reserve
            .saturating_add(needed)
            .saturating_add(app);
        match self.config.free_memory {
            Some(free) if free() < kept => Err(Error::OutOfMemory),
            _ => Ok(buffers),
        }
    }

    /// Returns how many bytes are free beyond the half that is kept for many small connections. In a crowd
    /// of handshakes, which may be a flood, there is nothing to give away.
    fn plentiful(&self) -> usize {
        let half_open = self.listeners.values().map(|it| it.half_open.len());
        if half_open.sum::<usize>() >= CROWD {
            return 0;
        }
        let free = self.config.free_memory.map_or(0, |free| free());
        free.saturating_sub(self.free_at_start / 2)
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

    /// Makes a socket with the buffers for which [`Inner::make_room`] has made room.
    pub(crate) fn new_socket(&self, buffers: Buffers) -> Result<tcp::Socket<'static>, Error> {
        let (receive, send) = (buffer(buffers.receive)?, buffer(buffers.send)?);
        let control = match send.len() {
            0..=INITIAL_WINDOW => CongestionControl::None,
            // Reno rather than CUBIC: integers only, so it needs no floating point unit, and the
            // two differ only where the send buffer is far larger than here.
            _ => CongestionControl::Reno,
        };
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(receive),
            tcp::SocketBuffer::new(send),
        );
        socket.set_nagle_enabled(false);
        socket.set_congestion_control(control);
        // Set before the handshake: set later, smoltcp would probe the peer at once.
        socket.set_keep_alive(Some(milliseconds(self.config.keep_alive_ms)));
        Ok(socket)
    }
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
