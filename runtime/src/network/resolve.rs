//! Names of other hosts: DNS, by the host's own resolver in a process, by `landfall-names` elsewhere.

#[cfg(not(target_os = "none"))]
use super::host;
use super::{Network, Way};
use crate::Error;
use alloc::{borrow::ToOwned, format, vec::Vec};
use core::net::IpAddr;
use edge_nal::{AddrType, Dns};
use landfall_names::client::{self, Family, ResolveError};
use landfall_net::Stack;

impl Network {
    /// Returns the addresses of the host with this name, those first that a connection is most likely to
    /// reach. An address is its own name.
    ///
    /// # Errors
    /// [`Error::Name`]: there is no such name, or nobody who could say.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = name.parse() {
            return Ok(Vec::from([address]));
        }
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(_) => host::resolve(name).await,
            Way::Stacks(stacks) => self.ask(stacks, name).await,
        }
    }

    /// Asks the name servers of all network cards for addresses of the kinds that this host has.
    async fn ask(&self, stacks: &[Stack], name: &str) -> Result<Vec<IpAddr>, Error> {
        super::first_address(stacks).await;
        let open = async || self.bind_udp(0).await;
        let servers: Vec<IpAddr> = stacks.iter().flat_map(Stack::dns_servers).collect();
        let own: Vec<IpAddr> = stacks.iter().flat_map(Stack::addresses).collect();
        let mut found = Vec::new();
        let mut failure = None;
        let kinds = [
            (Family::V6, own.iter().any(is_beyond_link)),
            (Family::V4, own.iter().any(IpAddr::is_ipv4)),
        ];
        for (family, _) in kinds.into_iter().filter(|(_, has)| *has) {
            let id = stacks[0].random() as u16;
            match client::resolve(&open, &servers, name, family, id).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => failure = Some(error),
            }
            // Whoever does not answer one question does not answer two.
            if let Some(ResolveError::TimedOut | ResolveError::NoSuchName) = failure {
                break;
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(unresolved(name, &error)),
            _ if found.is_empty() => Err(unresolved(name, &landfall_net::Error::NoAddress)),
            _ => Ok(found),
        }
    }
}

/// Returns whether an address of this host is one of IPv6 from which other networks are reached.
fn is_beyond_link(own: &IpAddr) -> bool {
    matches!(own, IpAddr::V6(address) if !address.is_unicast_link_local())
}

fn unresolved(name: &str, why: &dyn core::fmt::Display) -> Error {
    Error::Name {
        name: name.to_owned(),
        why: format!("{why}"),
    }
}

impl Dns for Network {
    type Error = Error;

    async fn get_host_by_name(&self, host: &str, kind: AddrType) -> Result<IpAddr, Error> {
        let addresses = self.resolve(host).await?;
        let fits = |address: &IpAddr| match kind {
            AddrType::IPv4 => address.is_ipv4(),
            AddrType::IPv6 => address.is_ipv6(),
            AddrType::Either => true,
        };
        let found = addresses.into_iter().find(fits);
        found.ok_or_else(|| unresolved(host, &ResolveError::<Error>::NoAddress))
    }

    /// The other way is not asked.
    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, Error> {
        Err(landfall_net::Error::Unsupported.into())
    }
}
