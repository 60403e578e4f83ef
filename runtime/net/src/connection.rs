//! One TCP connection, and the table that owns them all.
//!
//! Each connection has a smoltcp socket set of its own with exactly one socket in it, so smoltcp's
//! search through "all sockets" ends at the first. What happens to connections is in [`crate::tcp`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::{AnySocket, Socket, tcp};
use smoltcp::wire::IpAddress;

use crate::clock::Instant;
use crate::demux::Flow;
use crate::{ConnectionCounts, Error};

/// Names a connection for ever: an identifier is never used again, so a stale one finds nothing.
///
/// The upper 40 bits count connections and the lower 24 are the slot in the table, so identifiers
/// are ordered by age.
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ConnectionId(u64);

const SLOT_BITS: u32 = 24;

impl ConnectionId {
    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

/// Something that may have frames to send or a timer to wait for.
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Work {
    /// The control sockets: DHCP, and the answers that belong to no socket.
    Control,
    /// The UDP socket on this port.
    Udp(u16),
    /// This TCP connection.
    Tcp(ConnectionId),
}

/// What the ordered sets of work are ordered by: a time in microseconds, or a neighbour's address. It is one
/// type for all of them, since each other would be three kilobytes of code.
#[cfg(not(feature = "ipv6"))]
pub(crate) type Key = u64;
/// As above, for longer addresses.
#[cfg(feature = "ipv6")]
pub(crate) type Key = u128;

/// Returns the key of a time.
pub(crate) fn time_key(at: Instant) -> Key {
    Key::from(u64::try_from(at.total_micros()).unwrap_or(0))
}

/// Returns the time of a key.
pub(crate) fn key_time(key: Key) -> Instant {
    Instant::from_micros(i64::try_from(key).unwrap_or(i64::MAX))
}

/// Returns the key of a neighbour; `None` is anybody.
pub(crate) fn neighbour_key(neighbour: Option<IpAddress>) -> Key {
    match neighbour {
        None => 0,
        Some(IpAddress::Ipv4(address)) => address.to_bits().into(),
        #[cfg(feature = "ipv6")]
        Some(IpAddress::Ipv6(address)) => address.to_bits(),
    }
}

/// A smoltcp socket in a set of its own, and what the scheduler knows of it.
pub(crate) struct Endpoint {
    /// The set with the one socket.
    pub(crate) set: SocketSet<'static>,
    /// The socket's place in the set.
    pub(crate) handle: SocketHandle,
    /// Whether it is queued for sending.
    pub(crate) dirty: bool,
    /// The neighbour whose hardware address it waits for, as [`crate::stack::Inner`] files it.
    pub(crate) waits_for: Option<Key>,
    /// The entry it has among the timers.
    pub(crate) timer: Option<Instant>,
    /// How often in a row it asked for a neighbour that did not answer.
    pub(crate) unanswered: u8,
    /// Behind what was ever sent of a TCP connection: see [`crate::device::Meter`].
    pub(crate) sent_to: Option<u32>,
}

impl Endpoint {
    /// Puts `socket` into a set of its own.
    pub(crate) fn new(socket: impl AnySocket<'static>) -> Result<Endpoint, Error> {
        let mut storage = Vec::new();
        storage
            .try_reserve_exact(1)
            .map_err(|_| Error::OutOfMemory)?;
        storage.push(SocketStorage::EMPTY);
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Ok(Endpoint {
            set,
            handle,
            dirty: false,
            waits_for: None,
            timer: None,
            unanswered: 0,
            sent_to: None,
        })
    }
}

/// Who is responsible for a connection.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// The handshake with a client is not complete.
    HalfOpen,
    /// In a listener's queue, to be accepted.
    Queued,
    /// An app holds the socket.
    App,
    /// Nobody any more: what was written is still to be delivered.
    Orphan,
}

/// One TCP connection.
pub(crate) struct Connection {
    /// Its name.
    pub(crate) id: ConnectionId,
    /// The socket.
    pub(crate) endpoint: Endpoint,
    /// Both its ends.
    pub(crate) flow: Flow,
    /// Who is responsible.
    pub(crate) owner: Owner,
    /// The state in which it was last asked for frames.
    pub(crate) state_before: tcp::State,
    /// When it was made.
    pub(crate) created: Instant,
    /// When something is to happen to it that smoltcp does not know of.
    pub(crate) deadline: Option<Instant>,
    /// Why it ended, when it did not end in good order.
    pub(crate) failure: Option<Error>,
    /// Whether what arrives is thrown away, because nobody will read it.
    pub(crate) discarding: bool,
    /// Whoever writes found no room and waits for some.
    pub(crate) full: bool,
    /// How many bytes were thrown away.
    pub(crate) discarded: usize,
    /// How many bytes were unsent when the orphan was last looked at.
    pub(crate) unsent: usize,
    /// Its entry in the order of connections in TIME-WAIT.
    pub(crate) time_wait: Option<Instant>,
}

impl Connection {
    /// Returns the socket.
    pub(crate) fn socket(&self) -> &tcp::Socket<'static> {
        self.endpoint.set.get(self.endpoint.handle)
    }

    /// Returns the socket.
    pub(crate) fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.endpoint.set.get_mut(self.endpoint.handle)
    }

    /// Returns the socket.
    pub(crate) fn into_socket(self) -> Option<tcp::Socket<'static>> {
        let Endpoint {
            mut set, handle, ..
        } = self.endpoint;
        match set.remove(handle) {
            Socket::Tcp(socket) => Some(socket),
            _ => None,
        }
    }

    /// Throws away what has arrived, if nobody is going to read it.
    pub(crate) fn discard(&mut self) {
        if !self.discarding {
            return;
        }
        let mut count = 0;
        // The receive buffer is a ring, so its content may come in two parts.
        while self.socket().can_recv() {
            let taken = self.socket_mut().recv(|data| (data.len(), data.len()));
            match taken {
                Ok(length) if length > 0 => count += length,
                _ => break,
            }
        }
        self.discarded = self.discarded.saturating_add(count);
    }
}

/// All connections: slots that are found by index, and a list of those that are free.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    made: u64,
}

impl Table {
    /// Returns how many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds the connection that `make` returns for its name.
    pub(crate) fn insert(
        &mut self,
        make: impl FnOnce(ConnectionId) -> Connection,
    ) -> Result<ConnectionId, Error> {
        if self.free.is_empty() {
            let slot = u32::try_from(self.slots.len()).map_err(|_| Error::TooManyConnections)?;
            if slot >> SLOT_BITS != 0 {
                return Err(Error::TooManyConnections);
            }
            self.slots.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
            // The free list can then take every slot, so giving one back never allocates.
            self.free
                .try_reserve(self.slots.len() + 1)
                .map_err(|_| Error::OutOfMemory)?;
            self.slots.push(None);
            self.free.push(slot);
        }
        let slot = self.free.pop().ok_or(Error::TooManyConnections)?;
        self.made += 1;
        let id = ConnectionId(self.made << SLOT_BITS | u64::from(slot));
        self.slots[id.slot()] = Some(Box::new(make(id)));
        Ok(id)
    }

    /// Returns the connection of that name, if it still exists.
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let connection = self.slots.get(id.slot())?.as_deref()?;
        (connection.id == id).then_some(connection)
    }

    /// Returns the connection of that name, if it still exists.
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(id.slot())?.as_deref_mut()?;
        (connection.id == id).then_some(connection)
    }

    /// Takes the connection of that name out.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.get(id)?;
        self.free.push(id.slot() as u32);
        self.slots[id.slot()].take()
    }

    /// Returns the names of all connections. For rare events only: it walks the whole table.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.slots
            .iter()
            .flatten()
            .map(|connection| connection.id)
            .collect()
    }

    /// Counts the connections by stage. It walks the whole table.
    pub(crate) fn count(&self) -> ConnectionCounts {
        let mut counts = ConnectionCounts::default();
        for connection in self.slots.iter().flatten() {
            let state = connection.socket().state();
            let stage = match connection.owner {
                Owner::HalfOpen => &mut counts.half_open,
                Owner::Queued => &mut counts.unaccepted,
                _ if state == tcp::State::TimeWait => &mut counts.time_wait,
                Owner::App => &mut counts.open,
                Owner::Orphan => &mut counts.orphaned,
            };
            *stage += 1;
        }
        counts
    }
}
