//! The network, as an app sees it: the traits of `edge-nal`, whoever implements them.
//!
//! On a host they are the host's sockets (`host`); elsewhere they are our own IP stack's
//! (`landfall-net`). An app cannot tell.

#[cfg(not(target_os = "none"))]
mod host;
mod listener;
mod socket;

pub use listener::TcpListener;
pub use socket::{TcpReader, TcpSocket, TcpWriter};

use crate::{Error, info::Sockets};
use core::net::{Ipv4Addr, SocketAddr};
use landfall_net::{AddressConfig, Config, Stack};
use log::info;

/// A way to the network. Clones are handles of the same.
#[derive(Clone)]
pub struct Network(Way);

#[derive(Clone)]
enum Way {
    #[cfg(not(target_os = "none"))]
    Host,
    Stack(Stack),
}

/// The boot arguments of our own IP stack.
pub(crate) struct NetworkArguments {
    pub(crate) address: Option<(Ipv4Addr, u8)>,
    pub(crate) gateway: Option<Ipv4Addr>,
}

impl NetworkArguments {
    pub(crate) fn config(self, random_seed: u64) -> Config {
        let address = match self.address {
            None => AddressConfig::Dhcp,
            Some((address, prefix)) => AddressConfig::Static {
                address,
                prefix,
                gateway: self.gateway,
            },
        };
        #[allow(unused_mut, reason = "only bare metal has a heap of its own to watch")]
        let mut config = Config::new(address, random_seed);
        #[cfg(target_os = "none")]
        {
            config.free_memory = Some(crate::heap::free_bytes);
        }
        config
    }
}

impl Network {
    #[cfg(not(target_os = "none"))]
    pub(crate) fn host() -> Self {
        Self(Way::Host)
    }

    pub(crate) fn stack(stack: Stack) -> Self {
        Self(Way::Stack(stack))
    }

    /// Listens on a TCP port of all addresses; waits until this machine has one.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Host`]: the port is taken, or not allowed.
    pub async fn bind_tcp(&self, port: u16) -> Result<TcpListener, Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host => {
                let listener = host::bind(port).await?;
                info!(target: "net", "listening on TCP port {port}: http://127.0.0.1:{port}/");
                Ok(TcpListener::from(listener))
            }
            Way::Stack(stack) => {
                let listener = stack.bind_tcp(port)?;
                let address = stack.wait_address().await.address;
                info!(target: "net", "listening on TCP port {port}: http://{address}:{port}/");
                Ok(TcpListener::from(listener))
            }
        }
    }

    /// Connects to a TCP port of another machine.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Host`]: refused, unreachable, or no answer in time.
    pub async fn connect_tcp(&self, remote: SocketAddr) -> Result<TcpSocket, Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host => Ok(TcpSocket::from(host::connect(remote).await?)),
            Way::Stack(stack) => Ok(TcpSocket::from(stack.connect_tcp(remote).await?)),
        }
    }

    /// Returns the TCP connections of our own IP stack, `None` on the host's sockets.
    pub(crate) fn sockets(&self) -> Option<Sockets> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host => None,
            Way::Stack(stack) => {
                let counts = stack.connections();
                Some(Sockets {
                    half_open: counts.half_open,
                    open: counts.open + counts.unaccepted,
                    closing: counts.orphaned,
                    time_wait: counts.time_wait,
                })
            }
        }
    }
}
