//! Multicast groups: which this host is in, and that routers hear of it (IGMPv2, RFC 2236; MLDv2,
//! RFC 3810). smoltcp makes the reports; it has to be asked for them.

use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::wire::IpAddress;

use crate::Error;
use crate::clock::{Duration, Instant};
use crate::connection::Work;
use crate::stack::Inner;

/// How long a router may give this host to answer (RFC 2236, 8.3: 10 s unless it says otherwise), and how
/// often smoltcp is asked in that time.
const ANSWER_WITHIN: Duration = Duration::from_secs(11);
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How many groups apps can be in. smoltcp has room for twice as many: IPv6 has some of its own.
const MOST: usize = 8;

impl Inner {
    /// Adds the UDP socket of `port` to a group.
    pub(crate) fn join(&mut self, port: u16, group: IpAddr) -> Result<(), Error> {
        let groups = self.groups();
        if !group.is_multicast() {
            return Err(Error::InvalidAddress((group, port).into()));
        }
        if group.is_ipv6() && cfg!(not(feature = "ipv6")) {
            return Err(Error::Unsupported);
        }
        if !groups.contains(&group) && groups.len() >= MOST {
            return Err(Error::TooManyGroups);
        }
        let socket = self.datagrams.get_mut(port).ok_or(Error::Closed)?;
        if !socket.groups.contains(&group) {
            socket.groups.push(group);
        }
        self.enter_groups();
        Ok(())
    }

    /// Returns the groups that sockets are in, each once.
    fn groups(&self) -> Vec<IpAddr> {
        let mut groups = Vec::new();
        for group in self.datagrams.values().flat_map(|socket| &socket.groups) {
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        groups
    }

    /// Makes the network card a member of the groups that sockets are in, as far as there is an address
    /// from which to report it, and tells routers.
    pub(crate) fn enter_groups(&mut self) {
        let own = self.interface.ip_addrs();
        let has_4 = own.iter().any(|it| IpAddr::from(it.address()).is_ipv4());
        let has_6 = own.iter().any(|it| IpAddr::from(it.address()).is_ipv6());
        for group in self.groups() {
            let Ok(known) = group_address(group) else {
                continue;
            };
            // There is room for them, and they are groups.
            let _ = match group.is_ipv4() && has_4 || group.is_ipv6() && has_6 {
                true => self.interface.join_multicast_group(known),
                false => self.interface.leave_multicast_group(known),
            };
        }
        self.report_groups();
    }

    /// Takes the UDP socket of `port` out of a group.
    pub(crate) fn leave(&mut self, port: u16, group: IpAddr) -> Result<(), Error> {
        let socket = self.datagrams.get_mut(port).ok_or(Error::Closed)?;
        socket.groups.retain(|known| *known != group);
        self.leave_unless_needed(group);
        Ok(())
    }

    /// Takes this host out of a group that no socket is in any more.
    pub(crate) fn leave_unless_needed(&mut self, group: IpAddr) {
        let needed = self.groups().contains(&group);
        if let (false, Ok(known)) = (needed, group_address(group)) {
            // Fails for what is no group, which is in no socket's list.
            let _ = self.interface.leave_multicast_group(known);
            self.report_groups();
        }
    }

    /// Tells routers what has changed.
    fn report_groups(&mut self) {
        self.groups_due.get_or_insert(Instant::ZERO);
        self.kick(Work::Control);
    }

    /// Answers a router's question some time after `now`, when smoltcp thinks fit.
    pub(crate) fn report_groups_at_leisure(&mut self, now: Instant) {
        self.groups_due = Some(now + ANSWER_WITHIN);
        self.set_timer(Work::Control, now + ASK_EVERY);
    }

    /// After smoltcp was asked: returns when to ask again.
    pub(crate) fn groups_reported(&mut self, now: Instant) -> Option<Instant> {
        let until = self.groups_due?;
        if until > now {
            return Some(now + ASK_EVERY);
        }
        self.groups_due = None;
        None
    }
}

/// Returns the address as smoltcp has it.
fn group_address(group: IpAddr) -> Result<IpAddress, Error> {
    match group {
        IpAddr::V4(group) => Ok(group.into()),
        #[cfg(feature = "ipv6")]
        IpAddr::V6(group) => Ok(group.into()),
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => Err(Error::Unsupported),
    }
}
