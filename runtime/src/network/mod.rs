//! The network, as an app sees it: the traits of `edge-nal`, whoever implements them.
//!
//! They are the host's sockets (`host`) in a process that has no network card of its own, and our own IP
//! stack's (`landfall-net`) everywhere else. An app cannot tell.

pub(crate) mod arguments;
#[cfg(not(target_os = "none"))]
mod host;
mod listener;
#[cfg(feature = "mdns")]
mod name;
#[cfg(feature = "dns")]
mod resolve;
mod socket;
mod udp;

pub use listener::TcpListener;
pub use socket::{TcpReader, TcpSocket, TcpWriter};
pub use udp::{UdpReceiver, UdpSender, UdpSocket};

#[cfg(not(target_os = "none"))]
use crate::shutdown;
use crate::{Error, info::Sockets};
use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::net::{IpAddr, SocketAddr};
use futures_util::future::select_all;
use landfall_log::info;
#[cfg(feature = "ipv6")]
use landfall_net::Ipv6Config;
use landfall_net::{AddressConfig, Config, Stack};

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

/// The boot arguments of our own IP stack, for one network card.
pub(crate) struct NetworkArguments {
    pub(crate) address: AddressConfig,
    #[cfg(feature = "ipv6")]
    pub(crate) ipv6: Ipv6Config,
    pub(crate) dns_servers: [Option<IpAddr>; 2],
}

impl NetworkArguments {
    pub(crate) fn config(self, random_seed: u64, name: &'static str) -> Config {
        let mut config = Config::new(self.address, random_seed);
        config.name = name;
        config.dns_servers = self.dns_servers;
        #[cfg(feature = "ipv6")]
        {
            config.ipv6 = self.ipv6;
        }
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
                let address = SocketAddr::new(first_address(stacks).await, port);
                info!(target: "net", "listening on TCP port {port}: http://{address}/");
                Ok(TcpListener::from(listeners))
            }
        }
    }

    /// Opens a UDP port of all network cards; port 0 takes a free one. Waits until one of them has an
    /// address.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Host`]: the port is taken, or not allowed.
    pub async fn bind_udp(&self, port: u16) -> Result<UdpSocket, Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(_) => Ok(UdpSocket::from(host::bind_udp(port).await?)),
            Way::Stacks(stacks) => {
                let mut sockets = Vec::with_capacity(stacks.len());
                for stack in stacks.iter() {
                    sockets.push((stack.clone(), stack.bind_udp(port)?));
                }
                first_address(stacks).await;
                Ok(UdpSocket::from(sockets))
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

    /// Returns the stacks of the network cards, none on the host's sockets.
    pub(crate) fn cards(&self) -> &[Stack] {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(_) => &[],
            Way::Stacks(stacks) => stacks,
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
                }
                Some(sockets)
            }
        }
    }
}

/// Waits for the first address that any of the stacks gets.
async fn first_address(stacks: &[Stack]) -> IpAddr {
    let waits = stacks.iter().map(|stack| Box::pin(stack.wait_address()));
    select_all(waits).await.0
}

impl edge_nal::TcpBind for Network {
    type Error = Error;
    type Accept<'a> = TcpListener;

    /// As [`Network::bind_tcp`]: on all addresses, whichever is asked for.
    async fn bind(&self, local: SocketAddr) -> Result<TcpListener, Error> {
        self.bind_tcp(local.port()).await
    }
}

impl edge_nal::TcpConnect for Network {
    type Error = Error;
    type Socket<'a> = TcpSocket;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpSocket, Error> {
        self.connect_tcp(remote).await
    }
}

impl edge_nal::UdpBind for Network {
    type Error = Error;
    type Socket<'a> = UdpSocket;

    /// As [`Network::bind_udp`]: on all addresses, whichever is asked for.
    async fn bind(&self, local: SocketAddr) -> Result<UdpSocket, Error> {
        self.bind_udp(local.port()).await
    }
}
