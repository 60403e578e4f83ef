//! A UDP port: the traits of `edge-nal`, passed on to whoever has it.

use crate::Error;
use alloc::{boxed::Box, vec::Vec};
use core::net::SocketAddr;
use edge_nal::{Readable, UdpReceive, UdpSend};
use embedded_io_async::ErrorType;
use futures_util::future::select_all;
use landfall_net::Stack;

/// A UDP port of all network cards.
pub(crate) struct UdpSocket(Way);

enum Way {
    #[cfg(not(target_os = "none"))]
    Host(edge_nal_std::UdpSocket),
    /// One for each network card, at least one.
    Stacks(Vec<(Stack, landfall_net::UdpSocket)>),
}

impl ErrorType for UdpSocket {
    type Error = Error;
}

impl UdpSend for UdpSocket {
    async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
        match &mut self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => Ok(socket.send(remote, data).await?),
            Way::Stacks(sockets) => {
                let way = sockets.iter().position(|(stack, _)| stack.reaches(remote));
                let (_, socket) = &sockets[way.unwrap_or(0)];
                Ok(socket.send_to(data, remote).await?)
            }
        }
    }
}

impl UdpReceive for UdpSocket {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        match &mut self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => Ok(socket.receive(buffer).await?),
            Way::Stacks(sockets) => {
                let waits = sockets.iter_mut();
                let waits = waits.map(|(_, socket)| Box::pin(socket.readable()));
                let (readable, way, _) = select_all(waits).await;
                readable?;
                Ok(sockets[way].1.receive_from(buffer).await?)
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
impl From<edge_nal_std::UdpSocket> for UdpSocket {
    fn from(socket: edge_nal_std::UdpSocket) -> Self {
        Self(Way::Host(socket))
    }
}

impl From<Vec<(Stack, landfall_net::UdpSocket)>> for UdpSocket {
    fn from(sockets: Vec<(Stack, landfall_net::UdpSocket)>) -> Self {
        Self(Way::Stacks(sockets))
    }
}
