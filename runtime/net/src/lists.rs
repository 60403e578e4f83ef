//! Short lists in order, where a tree would be three kilobytes of code for each type.

use alloc::vec::Vec;

use crate::connection::ConnectionId;

/// What there is for some ports: those that are listened on, those of UDP sockets. There are few.
pub(crate) struct Ports<T>(Vec<(u16, T)>);

impl<T> Ports<T> {
    /// Has none.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    fn place(&self, port: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&port, |(known, _)| *known)
    }

    /// Returns what there is for `port`.
    pub(crate) fn get_mut(&mut self, port: u16) -> Option<&mut T> {
        let place = self.place(port).ok()?;
        Some(&mut self.0[place].1)
    }

    /// Returns what there is for `port`.
    pub(crate) fn get(&self, port: u16) -> Option<&T> {
        let place = self.place(port).ok()?;
        Some(&self.0[place].1)
    }

    /// Returns whether there is something for `port`.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.place(port).is_ok()
    }

    /// Adds something for a port that has nothing yet.
    pub(crate) fn insert(&mut self, port: u16, value: T) {
        let (Ok(place) | Err(place)) = self.place(port);
        self.0.insert(place, (port, value));
    }

    /// Takes out what there is for `port`.
    pub(crate) fn remove(&mut self, port: u16) -> Option<T> {
        let place = self.place(port).ok()?;
        Some(self.0.remove(place).1)
    }

    /// Returns all that there is.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns the first port.
    pub(crate) fn first(&self) -> Option<u16> {
        self.0.first().map(|(port, _)| *port)
    }
}

/// Names of connections, the oldest first.
#[derive(Default)]
pub(crate) struct Ids(Vec<ConnectionId>);

impl Ids {
    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the oldest.
    pub(crate) fn first(&self) -> Option<ConnectionId> {
        self.0.first().copied()
    }

    /// Adds one. Names grow, so its place is most often the last.
    pub(crate) fn insert(&mut self, id: ConnectionId) {
        if let Err(place) = self.0.binary_search(&id) {
            self.0.insert(place, id);
        }
    }

    /// Takes one out, if it is there.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        if let Ok(place) = self.0.binary_search(&id) {
            self.0.remove(place);
        }
    }

    /// Takes the oldest out.
    pub(crate) fn pop_first(&mut self) -> Option<ConnectionId> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_any_order() {
        let mut ports = Ports::new();
        for port in [80, 22, 443, 1] {
            assert!(!ports.has(port));
            ports.insert(port, port * 2);
        }
        assert_eq!(ports.first(), Some(1));
        assert_eq!(ports.get_mut(443).copied(), Some(886));
        assert_eq!(ports.remove(80), Some(160));
        assert_eq!(ports.remove(80), None);
        assert_eq!(ports.values().copied().collect::<Vec<_>>(), [2, 44, 886]);
    }
}
