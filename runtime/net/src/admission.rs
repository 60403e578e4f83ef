//! Who gets a connection, and who has to make room for it.
//!
//! A SYN to a port that is listened on gets a connection of its own as long as the backlog, the
//! limit of connections and the memory allow. Where one of them does not, the SYN is dropped: its
//! client sends it again after a second. What happens to connections later is in [`crate::tcp`].

use alloc::vec::Vec;

use landfall_tcp::{Segment, Settings};

use crate::Error;
use crate::clock::{Duration, Instant};
use crate::config::milliseconds;
use crate::connection::{ConnectionId, Owner};
use crate::demux::Flow;
use crate::stack::Inner;
use crate::tcp::micros;

/// A half-open connection younger than this makes room for nobody. It is longer than a handshake
/// over most networks: in a burst of honest clients the late ones try again after a second, and no
/// early one is cut off; in a flood each client still gets its turn.
const HALF_OPEN_MINIMUM: Duration = Duration::from_millis(250);
/// So many half-open connections are a crowd: those that come then get the least windows.
const CROWD: usize = 8;
/// What a connection takes from the heap beside the bytes on their way, generously.
const CONNECTION_OVERHEAD: usize = 1024;

impl Inner {
    /// Makes a connection for a SYN, which came from `hop`, if there is room or room can be made.
    pub(crate) fn admit(
        &mut self,
        flow: Flow,
        syn: &Segment<'_>,
        hop: [u8; 6],
        now: Instant,
    ) -> Option<ConnectionId> {
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
        let settings = self.room_for_one(flow, now);
        match settings.and_then(|settings| self.open_half(flow, syn, hop, settings, now)) {
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
        syn: &Segment<'_>,
        hop: [u8; 6],
        settings: Settings,
        now: Instant,
    ) -> Result<ConnectionId, Error> {
        let first = self.first_number();
        let tcp = landfall_tcp::Connection::accept(settings, first, syn, micros(now));
        let id = self.add(tcp, flow, Owner::HalfOpen, now)?;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.hop = Some(hop);
            connection.deadline = Some(now + milliseconds(self.config.half_open_timeout_ms));
        }
        if let Some(backlog) = self.listeners.get_mut(flow.local_port()) {
            backlog.half_open.insert(id);
        }
        Ok(id)
    }

    /// Sees to it that there may be one more connection within the limits, at the cost of those that matter least:
    /// memory that is kept for who comes next first, then finished connections, then handshakes that take too long.
    /// Returns how it may behave.
    pub(crate) fn room_for_one(&mut self, flow: Flow, now: Instant) -> Result<Settings, Error> {
        loop {
            // In a crowd of handshakes, which may be a flood, there is nothing to give away.
            let crowd = self.is_crowded();
            let Err(shortage) = self.has_room() else {
                let plentiful = if crowd { 0 } else { self.plentiful() };
                return Ok(self.config.tcp(self.segment_size(flow), plentiful));
            };
            if self.pool.spare_bytes() > 0 {
                self.pool.give_back();
                continue;
            }
            if self.evict_time_wait() {
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

    /// Returns whether there may be one more connection.
    fn has_room(&self) -> Result<(), Error> {
        if self.connections.len() >= self.config.max_connections {
            return Err(Error::TooManyConnections);
        }
        let busy = (self.connections.len() + 1).min(self.config.app_busy);
        let app = self.config.app_memory.saturating_mul(busy);
        let kept = self
            .config
            .memory_reserve
            .saturating_add(CONNECTION_OVERHEAD + self.config.app_idle_memory)
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

/// Returns a zeroed buffer, or an error where `vec!` would end the program.
pub(crate) fn buffer(length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| Error::OutOfMemory)?;
    bytes.resize(length, 0);
    Ok(bytes)
}
