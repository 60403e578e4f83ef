//! Which connection a segment belongs to.

use core::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;
use smoltcp::wire::IpAddress;

use crate::Error;
use crate::connection::{ConnectionId, Table};
use crate::demux::Flow;

/// The connections by their ends: names, which a hash of the ends finds. The ends themselves stand in the connections.
///
/// Peers choose their ports and addresses, so that the hash is keyed: without the keys nobody can tell which of them
/// meet in one place.
pub(crate) struct Flows {
    names: HashTable<ConnectionId>,
    keys: Keys,
}

impl Flows {
    /// There are none. The `seeds` are secrets.
    pub(crate) fn new(seeds: [u64; 2]) -> Flows {
        Flows {
            names: HashTable::new(),
            keys: Keys(seeds[0], SharedSeed::from_u64(seeds[1])),
        }
    }

    /// Returns the connection between these ends.
    pub(crate) fn get(&self, flow: Flow, connections: &Table) -> Option<ConnectionId> {
        let is_it = |&id: &ConnectionId| connections.get(id).is_some_and(|it| it.flow == flow);
        self.names.find(self.keys.hash(flow), is_it).copied()
    }

    /// Makes sure that there is memory for one more.
    pub(crate) fn reserve(&mut self, connections: &Table) -> Result<(), Error> {
        let reserved = self.names.try_reserve(1, self.keys.rehash(connections));
        reserved.map_err(|_| Error::OutOfMemory)
    }

    /// Adds a connection, for which memory was reserved.
    pub(crate) fn insert(&mut self, flow: Flow, id: ConnectionId, connections: &Table) {
        let hash = self.keys.hash(flow);
        self.names
            .insert_unique(hash, id, self.keys.rehash(connections));
    }

    /// Takes a connection out, if it is there.
    pub(crate) fn remove(&mut self, flow: Flow, id: ConnectionId) {
        let hash = self.keys.hash(flow);
        if let Ok(found) = self.names.find_entry(hash, |&known| known == id) {
            found.remove();
        }
    }

    /// Returns all of them, in no order.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = ConnectionId> {
        self.names.iter().copied()
    }
}

/// What nobody knows who chooses ports and addresses.
struct Keys(u64, SharedSeed);

impl Keys {
    /// This host's address is left out: it has few.
    fn hash(&self, flow: Flow) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.0, &self.1);
        match flow.remote() {
            IpAddress::Ipv4(address) => hasher.write_u32(address.to_bits()),
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(address) => hasher.write_u128(address.to_bits()),
        }
        hasher.write_u16(flow.remote_port());
        hasher.write_u16(flow.local_port());
        hasher.finish()
    }

    /// For a table that grows. It is one type for all uses, since each other would be two kilobytes of code.
    fn rehash(&self, connections: &Table) -> impl Fn(&ConnectionId) -> u64 {
        // Names leave with their connections.
        |&id| connections.get(id).map_or(0, |it| self.hash(it.flow))
    }
}
