//! The network, as an app sees it: the traits of `edge-nal`, whoever implements them.
//!
//! They are the host's sockets (`host`) in a process that has no network card of its own, and our own IP
//! stack's (`landfall-net`) everywhere else. An app cannot tell.

#[cfg(not(target_os = "none"))]
mod host;
mod listener;
mod socket;

pub use listener::TcpListener;
pub use socket::{TcpReader, TcpSocket, TcpWriter};

#[cfg(not(target_os = "none"))]
use crate::shutdown;
use crate::{Error, info::Sockets};
use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::net::{Ipv4Addr, SocketAddr};
use futures_util::future::select_all;
use landfall_net::{Address, AddressConfig, Config, Stack};
use log::info;

/// A way to the network. Clones are handles of the same.
#[derive(Clone)]
pub struct Network(Way);

#[derive(Clone)]
enum Way {
    /// Listeners end at the request.
    #[cfg(not(target_os = "none"))]
    Host(Rc<shutdown::Request>),
    /// One for each network card, at least one.
    Stacks(Rc<[Stack]>),
}

/// The boot arguments of our own IP stack.
pub(crate) struct NetworkArguments {
    pub(crate) address: Option<(Ipv4Addr, u8)>,
    pub(crate) gateway: Option<Ipv4Addr>,
}

impl NetworkArguments {
    pub(crate) fn config(self, random_seed: u64, name: &'static str) -> Config {
        let address = match self.address {
            None => AddressConfig::Dhcp,
            Some((address, prefix)) => AddressConfig::Static {
                address,
                prefix,
                gateway: self.gateway,
            },
        };
        let mut config = Config::new(address, random_seed);
        config.name = name;
        #[cfg(target_os = "none")]
        {
            config.free_memory = Some(crate::heap::free_bytes);
        }
        // A host does not say how much is free: all connections together stay below this.
        #[cfg(not(target_os = "none"))]
        {
            config.free_memory = Some(|| 512 << 20);
            config.roomy_buffer = 65_535;
            config.max_connections = 4000;
        }
        config
    }
}

impl Network {
    #[cfg(not(target_os = "none"))]
    pub(crate) fn host() -> Self {
        Self(Way::Host(Rc::default()))
    }

    pub(crate) fn stacks(stacks: Vec<Stack>) -> Self {
        Self(Way::Stacks(stacks.into()))
    }

    /// Makes listeners accept no more.
    pub(crate) fn shut_down(&self) {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(end) => end.make(),
            Way::Stacks(stacks) => stacks.iter().for_each(Stack::shut_down),
        }
    }

    /// Returns whether all connections have ended.
    pub(crate) fn is_drained(&self) -> bool {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(_) => true,
            Way::Stacks(stacks) => stacks.iter().all(|stack| {
                let counts = stack.connections();
                counts.open + counts.unaccepted + counts.orphaned == 0
            }),
        }
    }

    /// Listens on a TCP port of all network cards; waits until one of them has an address.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Host`]: the port is taken, or not allowed.
    pub async fn bind_tcp(&self, port: u16) -> Result<TcpListener, Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(end) => {
                let listener = host::bind(port).await?;
                info!(target: "net", "listening on TCP port {port}: http://127.0.0.1:{port}/");
                Ok(TcpListener::from((listener, end.clone())))
            }
            Way::Stacks(stacks) => {
                let mut listeners = Vec::with_capacity(stacks.len());
                for stack in stacks.iter() {
                    listeners.push(stack.bind_tcp(port)?);
                }
                let address = first_address(stacks).await.address;
                info!(target: "net", "listening on TCP port {port}: http://{address}:{port}/");
                Ok(TcpListener::from(listeners))
            }
        }
    }

    /// Connects to a TCP port of another machine; waits until a network card has an address.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Host`]: refused, unreachable, or no answer in time.
    pub async fn connect_tcp(&self, remote: SocketAddr) -> Result<TcpSocket, Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(_) => Ok(TcpSocket::from(host::connect(remote).await?)),
            Way::Stacks(stacks) => {
                first_address(stacks).await;
                // The card whose network has the peer, or else leads to it.
                let mut ways = stacks.iter();
                let way = ways
                    .find(|stack| stack.reaches(remote))
                    .unwrap_or(&stacks[0]);
                Ok(TcpSocket::from(way.connect_tcp(remote).await?))
            }
        }
    }

    /// Returns the TCP connections of our own IP stack, `None` on the host's sockets.
    pub(crate) fn sockets(&self) -> Option<Sockets> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(_) => None,
            Way::Stacks(stacks) => {
                let mut sockets = Sockets::default();
                for counts in stacks.iter().map(Stack::connections) {
                    sockets.half_open += counts.half_open;
                    sockets.open += counts.open + counts.unaccepted;
                    sockets.closing += counts.orphaned;
                    sockets.time_wait += counts.time_wait;
                    sockets.spare += counts.spare;
                }
                Some(sockets)
            }
        }
    }
}

/// Waits for the first address that any of the stacks gets.
async fn first_address(stacks: &[Stack]) -> Address {
    let waits = stacks.iter().map(|stack| Box::pin(stack.wait_address()));
    select_all(waits).await.0
}
