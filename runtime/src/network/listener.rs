//! A listening TCP port.

use super::TcpSocket;
#[cfg(not(target_os = "none"))]
use super::host;
use crate::Error;
#[cfg(not(target_os = "none"))]
use crate::shutdown;
#[cfg(not(target_os = "none"))]
use alloc::rc::Rc;
use alloc::{boxed::Box, vec::Vec};
use core::net::SocketAddr;
use edge_nal::TcpAccept;
use futures_util::future::select_all;

/// A TCP port that peers can connect to.
pub struct TcpListener(Way);

enum Way {
    #[cfg(not(target_os = "none"))]
    Host(edge_nal_std::TcpAcceptor, Rc<shutdown::Request>),
    /// One for each network card, at least one.
    Stacks(Vec<landfall_net::TcpListener>),
}

impl TcpAccept for TcpListener {
    type Error = Error;
    type Socket<'a> = TcpSocket;

    async fn accept(&self) -> Result<(SocketAddr, TcpSocket), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(listener, end) => {
                let (remote, socket) = host::accept(listener, end).await?;
                Ok((remote, TcpSocket::from(socket)))
            }
            Way::Stacks(listeners) => {
                let (remote, socket) = match &listeners[..] {
                    [only] => only.accept().await?,
                    // The accepts that are dropped pass on what they were woken for.
                    all => {
                        select_all(all.iter().map(|it| Box::pin(it.accept())))
                            .await
                            .0?
                    }
                };
                Ok((remote, TcpSocket::from(socket)))
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
impl From<(edge_nal_std::TcpAcceptor, Rc<shutdown::Request>)> for TcpListener {
    fn from((listener, end): (edge_nal_std::TcpAcceptor, Rc<shutdown::Request>)) -> Self {
        Self(Way::Host(listener, end))
    }
}

impl From<Vec<landfall_net::TcpListener>> for TcpListener {
    fn from(listeners: Vec<landfall_net::TcpListener>) -> Self {
        Self(Way::Stacks(listeners))
    }
}
