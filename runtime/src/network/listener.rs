//! A listening TCP port.

use super::TcpSocket;
#[cfg(not(target_os = "none"))]
use super::host;
use crate::Error;
use core::net::SocketAddr;
use edge_nal::TcpAccept;

/// A TCP port that peers can connect to.
pub struct TcpListener(Way);

enum Way {
    #[cfg(not(target_os = "none"))]
    Host(edge_nal_std::TcpAcceptor),
    Stack(landfall_net::TcpListener),
}

impl TcpAccept for TcpListener {
    type Error = Error;
    type Socket<'a> = TcpSocket;

    async fn accept(&self) -> Result<(SocketAddr, TcpSocket), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(listener) => {
                let (remote, socket) = host::accept(listener).await?;
                Ok((remote, TcpSocket::from(socket)))
            }
            Way::Stack(listener) => {
                let (remote, socket) = listener.accept().await?;
                Ok((remote, TcpSocket::from(socket)))
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
impl From<edge_nal_std::TcpAcceptor> for TcpListener {
    fn from(listener: edge_nal_std::TcpAcceptor) -> Self {
        Self(Way::Host(listener))
    }
}

impl From<landfall_net::TcpListener> for TcpListener {
    fn from(listener: landfall_net::TcpListener) -> Self {
        Self(Way::Stack(listener))
    }
}
