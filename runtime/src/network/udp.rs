//! A UDP port: the traits of `edge-nal`, passed on to whoever has it.

#[cfg(not(target_os = "none"))]
use super::host;
use crate::Error;
use alloc::{boxed::Box, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use edge_nal::{
    MulticastV4, MulticastV6, Readable, UdpReceive, UdpSend, UdpSplit, UdpSplitMulticast,
};
use embedded_io_async::ErrorType;
use futures_util::future::select_all;
use landfall_net::Stack;

/// A UDP port of all network cards. Datagrams are sent whole or not at all.
pub struct UdpSocket(Way);

enum Way {
    #[cfg(not(target_os = "none"))]
    Host(edge_nal_std::UdpSocket),
    /// One for each network card, at least one.
    Stacks(Vec<(Stack, landfall_net::UdpSocket)>),
}

impl UdpSocket {
    /// Waits for a datagram and returns its length and sender. One that is longer than `buffer` is an error
    /// on our own IP stack; the host's sockets cut it off.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Host`].
    pub async fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => host::receive(socket, buffer).await,
            Way::Stacks(sockets) => {
                let socket = first_readable(sockets).await?;
                Ok(socket.receive_from(buffer).await?)
            }
        }
    }

    /// Sends a datagram through the network card whose network has `remote`, or else leads to it; waits
    /// while there is no room.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Host`]: too long, or out of reach.
    pub async fn send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => host::send(socket, data, remote).await,
            Way::Stacks(sockets) => {
                let mut ways = sockets.iter();
                let way = ways.find(|(stack, _)| stack.reaches(remote));
                let (_, socket) = way.unwrap_or(&sockets[0]);
                Ok(socket.send_to(data, remote).await?)
            }
        }
    }

    async fn wait_readable(&self) -> Result<(), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => {
                let mut socket = socket;
                Ok(Readable::readable(&mut socket).await?)
            }
            Way::Stacks(sockets) => first_readable(sockets).await.map(drop),
        }
    }

    /// Joins a multicast group on all network cards: datagrams to it are received from now on. Our own IP
    /// stack has groups with the feature `multicast`.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Host`]: not a group's address, or too many.
    pub async fn join(&self, group: IpAddr) -> Result<(), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => host::join(socket, group).await,
            Way::Stacks(sockets) => {
                for (_, socket) in sockets {
                    socket.join(group)?;
                }
                Ok(())
            }
        }
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Host`].
    pub async fn leave(&self, group: IpAddr) -> Result<(), Error> {
        match &self.0 {
            #[cfg(not(target_os = "none"))]
            Way::Host(socket) => host::leave(socket, group).await,
            Way::Stacks(sockets) => {
                for (_, socket) in sockets {
                    socket.leave(group)?;
                }
                Ok(())
            }
        }
    }
}

/// Waits until one of the sockets has a datagram, and returns it.
async fn first_readable(
    sockets: &[(Stack, landfall_net::UdpSocket)],
) -> Result<&landfall_net::UdpSocket, Error> {
    if let [(_, only)] = sockets {
        return Ok(only);
    }
    let waits = sockets
        .iter()
        .map(|(_, socket)| Box::pin(socket.wait_readable()));
    let (ready, index, _) = select_all(waits).await;
    ready?;
    Ok(&sockets[index].1)
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

/// The receiving half of a [`UdpSocket`].
pub struct UdpReceiver<'a>(&'a UdpSocket);

/// The sending half of a [`UdpSocket`]; also what joins groups.
pub struct UdpSender<'a>(&'a UdpSocket);

/// The traits of a socket and of its halves, each of which is `$it` with the socket at `$socket`.
macro_rules! receives {
    ($($type:ty: $it:ident => $socket:expr),*) => {$(
        impl UdpReceive for $type {
            async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
                let $it = self;
                $socket.receive_from(buffer).await
            }
        }

        impl Readable for $type {
            async fn readable(&mut self) -> Result<(), Error> {
                let $it = self;
                $socket.wait_readable().await
            }
        }
    )*};
}

macro_rules! sends {
    ($($type:ty: $it:ident => $socket:expr),*) => {$(
        impl UdpSend for $type {
            async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
                let $it = self;
                $socket.send_to(data, remote).await
            }
        }

        // All network cards, whichever is asked for.
        impl MulticastV4 for $type {
            async fn join_v4(&mut self, group: Ipv4Addr, _: Ipv4Addr) -> Result<(), Error> {
                let $it = self;
                $socket.join(group.into()).await
            }

            async fn leave_v4(&mut self, group: Ipv4Addr, _: Ipv4Addr) -> Result<(), Error> {
                let $it = self;
                $socket.leave(group.into()).await
            }
        }

        impl MulticastV6 for $type {
            async fn join_v6(&mut self, group: Ipv6Addr, _: u32) -> Result<(), Error> {
                let $it = self;
                $socket.join(group.into()).await
            }

            async fn leave_v6(&mut self, group: Ipv6Addr, _: u32) -> Result<(), Error> {
                let $it = self;
                $socket.leave(group.into()).await
            }
        }
    )*};
}

receives!(UdpSocket: it => it, UdpReceiver<'_>: it => it.0);
sends!(UdpSocket: it => it, UdpSender<'_>: it => it.0);

impl ErrorType for UdpSocket {
    type Error = Error;
}

impl ErrorType for UdpReceiver<'_> {
    type Error = Error;
}

impl ErrorType for UdpSender<'_> {
    type Error = Error;
}

impl UdpSplit for UdpSocket {
    type Receive<'a> = UdpReceiver<'a>;
    type Send<'a> = UdpSender<'a>;

    fn split(&mut self) -> (UdpReceiver<'_>, UdpSender<'_>) {
        (UdpReceiver(self), UdpSender(self))
    }
}

impl UdpSplitMulticast for UdpSocket {
    type MulticastV4<'a> = UdpSender<'a>;
    type MulticastV6<'a> = UdpSender<'a>;

    fn split_multicast(
        &mut self,
    ) -> (UdpReceiver<'_>, UdpSender<'_>, UdpSender<'_>, UdpSender<'_>) {
        (
            UdpReceiver(self),
            UdpSender(self),
            UdpSender(self),
            UdpSender(self),
        )
    }
}
