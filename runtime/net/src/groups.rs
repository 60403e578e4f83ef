//! Multicast groups: which this host is in, and that routers hear of it (IGMPv2, RFC 2236; MLDv2,
//! RFC 3810). smoltcp makes the reports; it has to be asked for them.

use core::net::IpAddr;

use smoltcp::iface::MulticastError;
use smoltcp::wire::IpAddress;

use crate::Error;
use crate::clock::{Duration, Instant};
use crate::connection::Work;
use crate::stack::Inner;

/// How long a router may give this host to answer (RFC 2236, 8.3: 10 s unless it says otherwise), and how
/// often smoltcp is asked in that time.
const ANSWER_WITHIN: Duration = Duration::from_secs(11);
const ASK_EVERY: Duration = Duration::from_millis(500);

impl Inner {
    /// Adds the UDP socket of `port` to a group.
    pub(crate) fn join(&mut self, port: u16, group: IpAddr) -> Result<(), Error> {
        let known = group_address(group)?;
        self.interface
            .join_multicast_group(known)
            .map_err(|error| match error {
                MulticastError::GroupTableFull => Error::TooManyGroups,
                MulticastError::Unaddressable => Error::InvalidAddress((group, port).into()),
            })?;
        let socket = self.datagrams.get_mut(port).ok_or(Error::Closed)?;
        if !socket.groups.contains(&group) {
            socket.groups.push(group);
        }
        self.report_groups();
        Ok(())
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
        let needed = self
            .datagrams
            .values()
            .any(|socket| socket.groups.contains(&group));
        if let (false, Ok(known)) = (needed, group_address(group)) {
            // Fails for what is no group, which is in no socket's list.
            let _ = self.interface.leave_multicast_group(known);
            self.report_groups();
        }
    }

    /// Tells routers what has changed.
    pub(crate) fn report_groups(&mut self) {
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
