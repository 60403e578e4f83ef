//! The DHCP client around smoltcp's: what it got becomes this host's address, and silence is told.

use core::net::Ipv4Addr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;

use crate::clock::{Duration, Instant};
use crate::connection::{Endpoint, Work};
use crate::stack::Inner;
use crate::{Address, AddressSource, Error};

/// How long to wait for a server between two lines that say there is none.
const COMPLAIN_AFTER: Duration = Duration::from_secs(10);
/// How long the old address is kept when the link comes back and no server answers.
const KEEP_AFTER_LINK: Duration = Duration::from_secs(60);
/// How soon the first questions are repeated: a bridge port may lose what it gets at first.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How soon later questions are repeated.
const LATER_RETRY: Duration = Duration::from_secs(5);

/// The state of the DHCP client beside smoltcp's socket.
pub(crate) struct DhcpClient {
    handle: SocketHandle,
    /// Since when there is a link and no answer.
    asking_since: Option<Instant>,
    complain_at: Instant,
    /// Until when an address from before the link went down is kept.
    keep_until: Option<Instant>,
}

impl DhcpClient {
    /// Makes the control endpoint, and the client in it if one is `wanted`.
    pub(crate) fn new(wanted: bool, now: Instant) -> Result<(Endpoint, Option<Self>), Error> {
        if !wanted {
            let endpoint = Endpoint {
                set: SocketSet::new(alloc::vec::Vec::new()),
                handle: SocketHandle::default(),
                dirty: false,
                waits_for: None,
                timer: None,
                unanswered: 0,
                sent_to: None,
            };
            return Ok((endpoint, None));
        }
        let endpoint = Endpoint::new(dhcpv4::Socket::new())?;
        let client = DhcpClient {
            handle: endpoint.handle,
            asking_since: Some(now),
            complain_at: now + COMPLAIN_AFTER,
            keep_until: None,
        };
        Ok((endpoint, Some(client)))
    }

    fn retry_every(set: &mut SocketSet<'static>, handle: SocketHandle, interval: Duration) {
        let socket = set.get_mut::<dhcpv4::Socket<'_>>(handle);
        let mut retry = dhcpv4::RetryConfig::default();
        retry.discover_timeout = interval;
        retry.initial_request_timeout = interval;
        socket.set_retry_config(retry);
    }
}

impl Inner {
    /// Starts asking for an address: the link has come up.
    pub(crate) fn dhcp_restart(&mut self, now: Instant) {
        let Some(client) = &mut self.dhcp else {
            return;
        };
        client.asking_since = Some(now);
        client.complain_at = now + COMPLAIN_AFTER;
        client.keep_until = self.address.map(|_| now + KEEP_AFTER_LINK);
        let handle = client.handle;
        DhcpClient::retry_every(&mut self.control.set, handle, FIRST_RETRY);
        self.control
            .set
            .get_mut::<dhcpv4::Socket<'_>>(handle)
            .reset();
        self.mark(Work::Control);
    }

    /// Stops complaining: the link is down.
    pub(crate) fn dhcp_pause(&mut self) {
        if let Some(client) = &mut self.dhcp {
            client.asking_since = None;
        }
    }

    /// Takes what the client has learnt, and complains if it is not answered. Returns when to look
    /// again.
    pub(crate) fn dhcp_poll(&mut self, now: Instant) -> Option<Instant> {
        let client = self.dhcp.as_mut()?;
        let socket = self
            .control
            .set
            .get_mut::<dhcpv4::Socket<'_>>(client.handle);
        match socket.poll() {
            Some(dhcpv4::Event::Configured(lease)) => {
                let address = address_of(&lease);
                client.asking_since = None;
                client.keep_until = None;
                if address.check().is_ok() {
                    self.set_address(Some(address));
                } else {
                    landfall_log::warn!(target: self.config.name, "the DHCP server offered {address}: not usable");
                    self.dhcp_restart(now);
                }
            }
            Some(dhcpv4::Event::Deconfigured) if client.keep_until.is_none() => {
                if self.address.is_some() {
                    client.asking_since = Some(now);
                    client.complain_at = now + COMPLAIN_AFTER;
                }
                self.set_address(None);
            }
            _ => {}
        }
        self.dhcp_complain(now)
    }

    fn dhcp_complain(&mut self, now: Instant) -> Option<Instant> {
        // Networks of IPv6 alone are none to complain of.
        let reached = self.usable().is_some();
        let client = self.dhcp.as_mut()?;
        let since = client.asking_since?;
        if now >= client.complain_at {
            let waited = (now - since).secs();
            if !reached {
                landfall_log::warn!(
                    target: self.config.name,
                    "no DHCP answer yet after {waited} s; is there a DHCP server on this network? \
                     or give ip=... gateway=..."
                );
            }
            client.complain_at = now + COMPLAIN_AFTER;
            DhcpClient::retry_every(&mut self.control.set, client.handle, LATER_RETRY);
        }
        let complain_at = client.complain_at;
        if client.keep_until.is_some_and(|until| now >= until) {
            client.keep_until = None;
            self.set_address(None);
        }
        Some(complain_at)
    }
}

fn address_of(lease: &dhcpv4::Config<'_>) -> Address {
    let mut dns_servers = [None; 3];
    for (slot, server) in dns_servers.iter_mut().zip(&lease.dns_servers) {
        *slot = Some(*server);
    }
    Address {
        address: lease.address.address(),
        prefix: lease.address.prefix_len(),
        gateway: lease
            .router
            .filter(|router| *router != Ipv4Addr::UNSPECIFIED),
        dns_servers,
        source: AddressSource::Dhcp,
    }
}
