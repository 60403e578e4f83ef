//! UDP: ports are found through a map, like TCP connections.

use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::{Context, Poll};

use edge_nal::UdpSplitMulticast;
use edge_nal::{MulticastV4, MulticastV6, Readable, UdpReceive, UdpSend, UdpSplit};
use embassy_net_driver::TxToken;
use embedded_io_async::ErrorType;
use smoltcp::socket::udp::{self, PacketBuffer, PacketMetadata, RecvError, SendError};
use smoltcp::wire::IpEndpoint;

use crate::admission::buffer;
use crate::clock::Instant;
use crate::connection::{Endpoint, Work, time_key};
use crate::device::OneFrame;
use crate::stack::Inner;
use crate::{Error, Stack};

/// How many datagrams a socket's buffers hold, whatever their size.
const DATAGRAMS: usize = 32;
/// How often a neighbour is asked for before the datagrams that wait for it are dropped.
const ATTEMPTS: u8 = 3;
/// The headers before a datagram's data: IPv4 and UDP, IPv6 and UDP.
const HEADERS: usize = 28;
const HEADERS_6: usize = 48;

/// What the stack keeps for a UDP port.
pub(crate) struct Datagrams {
    /// The socket.
    pub(crate) endpoint: Endpoint,
    /// The groups that it has joined.
    #[cfg(feature = "multicast")]
    pub(crate) groups: alloc::vec::Vec<IpAddr>,
}

impl Datagrams {
    fn socket_mut(&mut self) -> &mut udp::Socket<'static> {
        self.endpoint.set.get_mut(self.endpoint.handle)
    }
}

impl Inner {
    /// Opens a UDP port and returns its number.
    pub(crate) fn bind_udp(&mut self, port: u16) -> Result<u16, Error> {
        let port = match port {
            0 => self
                .ephemeral_port(Inner::udp_port_used)
                .ok_or(Error::PortsExhausted)?,
            port if self.udp_port_used(port) => return Err(Error::PortInUse(port)),
            port => port,
        };
        let room = || -> Result<PacketBuffer<'static>, Error> {
            let slots = alloc::vec![PacketMetadata::EMPTY; DATAGRAMS];
            Ok(PacketBuffer::new(
                slots,
                buffer(self.config.udp_buffer.max(2048))?,
            ))
        };
        let mut socket = udp::Socket::new(room()?, room()?);
        socket.bind(port).map_err(|_| Error::InvalidPort)?;
        self.datagrams.insert(
            port,
            Datagrams {
                endpoint: Endpoint::new(socket)?,
                #[cfg(feature = "multicast")]
                groups: alloc::vec::Vec::new(),
            },
        );
        Ok(port)
    }

    /// Closes a UDP port.
    fn close_udp(&mut self, port: u16) {
        let Some(mut socket) = self.datagrams.remove(port) else {
            return;
        };
        if let Some(at) = socket.endpoint.schedule.timer.take() {
            self.timers.remove(&(time_key(at), Work::Udp(port)));
        }
        if let Some(neighbour) = socket.endpoint.schedule.waits_for.take() {
            self.waiting.remove(&(neighbour, Work::Udp(port)));
        }
        #[cfg(feature = "multicast")]
        for group in socket.groups {
            self.leave_unless_needed(group);
        }
    }

    /// Takes a datagram.
    pub(crate) fn udp_receive<T: TxToken>(
        &mut self,
        port: u16,
        length: usize,
        frame: &[u8],
        reply: T,
        now: Instant,
    ) {
        let Some(socket) = self.datagrams.get_mut(port) else {
            self.counters.no_socket += 1;
            return self.control_receive(frame, reply, now);
        };
        let before = socket.socket_mut().recv_queue();
        let mut device = OneFrame::new(frame, reply, &self.capabilities, self.duty);
        self.interface
            .poll_ingress_single(now, &mut device, &mut socket.endpoint.set);
        // An empty datagram leaves the queue's bytes as they were and is not a loss.
        if length > 0 && socket.socket_mut().recv_queue() == before {
            self.counters.dropped_datagram += 1;
        }
    }

    /// After a UDP socket was asked for frames: drops what waits in vain for a neighbour, which
    /// would hold up what is for others.
    pub(crate) fn udp_after_send(&mut self, port: u16) {
        let Some(socket) = self.datagrams.get_mut(port) else {
            return;
        };
        if socket.endpoint.unanswered > ATTEMPTS {
            socket.endpoint.unanswered = 0;
            let socket = socket.socket_mut();
            socket.close();
            // Just closed, and the port is not zero.
            let _ = socket.bind(port);
        }
    }
}

/// A UDP port.
///
/// Datagrams are sent whole or not at all: there is no fragmentation.
pub struct UdpSocket {
    stack: Stack,
    port: u16,
}

impl UdpSocket {
    pub(crate) fn new(stack: Stack, port: u16) -> UdpSocket {
        UdpSocket { stack, port }
    }

    /// Returns this socket's port.
    pub fn local_port(&self) -> u16 {
        self.port
    }

    /// Sets how many routers a datagram may pass, plus one; it is 64 otherwise.
    pub fn set_hop_limit(&self, limit: core::num::NonZeroU8) {
        self.stack.with(|inner| {
            if let Some(datagrams) = inner.datagrams.get_mut(self.port) {
                datagrams.socket_mut().set_hop_limit(Some(limit.get()));
            }
        });
    }

    /// Waits for a datagram and returns its length and sender. One that is longer than `data` is
    /// dropped and is an error.
    pub async fn receive_from(&self, data: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        poll_fn(|cx| self.poll_receive(cx, data)).await
    }

    /// Sends a datagram; waits while the send buffer is full.
    pub async fn send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), Error> {
        poll_fn(|cx| self.poll_send(cx, data, remote)).await
    }

    /// Waits until a datagram is there.
    pub async fn wait_readable(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            self.with(|socket| {
                if socket.can_recv() {
                    return Poll::Ready(Ok(()));
                }
                socket.register_recv_waker(cx.waker());
                Poll::Pending
            })
        })
        .await
    }

    fn with<R>(
        &self,
        f: impl FnOnce(&mut udp::Socket<'static>) -> Poll<Result<R, Error>>,
    ) -> Poll<Result<R, Error>> {
        self.stack
            .with(|inner| match inner.datagrams.get_mut(self.port) {
                Some(datagrams) => f(datagrams.socket_mut()),
                None => Poll::Ready(Err(Error::Closed)),
            })
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        data: &mut [u8],
    ) -> Poll<Result<(usize, SocketAddr), Error>> {
        self.with(|socket| match socket.recv_slice(data) {
            Ok((length, from)) => {
                let IpEndpoint { addr, port } = from.endpoint;
                Poll::Ready(Ok((length, SocketAddr::new(IpAddr::from(addr), port))))
            }
            Err(RecvError::Truncated) => Poll::Ready(Err(Error::BufferTooShort)),
            Err(RecvError::Exhausted) => {
                socket.register_recv_waker(cx.waker());
                Poll::Pending
            }
        })
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        remote: SocketAddr,
    ) -> Poll<Result<(), Error>> {
        let endpoint = self.stack.with(|inner| {
            let peer = inner.reachable(remote)?;
            let headers = if remote.is_ipv4() { HEADERS } else { HEADERS_6 };
            let limit =
                (inner.capabilities.ip_mtu() - headers).min(inner.config.udp_buffer.max(2048));
            if data.len() > limit {
                Err(Error::DatagramTooLong(limit))
            } else {
                Ok(peer)
            }
        })?;
        let sent = self.with(|socket| match socket.send_slice(data, endpoint) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(SendError::Unaddressable) => Poll::Ready(Err(Error::InvalidAddress(remote))),
            Err(SendError::BufferFull) => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
        });
        if let Poll::Ready(Ok(())) = sent {
            self.stack.with(|inner| inner.kick(Work::Udp(self.port)));
        }
        sent
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.stack.with(|inner| inner.close_udp(self.port));
    }
}

impl ErrorType for UdpSocket {
    type Error = Error;
}

impl UdpReceive for UdpSocket {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive_from(buffer).await
    }
}

impl UdpSend for UdpSocket {
    async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
        self.send_to(data, remote).await
    }
}

impl Readable for UdpSocket {
    async fn readable(&mut self) -> Result<(), Error> {
        self.wait_readable().await
    }
}

impl UdpSplit for UdpSocket {
    type Receive<'a>
        = UdpReceiver<'a>
    where
        Self: 'a;
    type Send<'a>
        = UdpSender<'a>
    where
        Self: 'a;

    fn split(&mut self) -> (UdpReceiver<'_>, UdpSender<'_>) {
        (UdpReceiver(self), UdpSender(self))
    }
}

impl UdpSplitMulticast for UdpSocket {
    type MulticastV4<'a>
        = UdpSender<'a>
    where
        Self: 'a;
    type MulticastV6<'a>
        = UdpSender<'a>
    where
        Self: 'a;

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

/// The receiving half of a [`UdpSocket`].
pub struct UdpReceiver<'a>(&'a UdpSocket);

impl ErrorType for UdpReceiver<'_> {
    type Error = Error;
}

impl UdpReceive for UdpReceiver<'_> {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.0.receive_from(buffer).await
    }
}

impl Readable for UdpReceiver<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        self.0.wait_readable().await
    }
}

/// The sending half of a [`UdpSocket`].
pub struct UdpSender<'a>(&'a UdpSocket);

impl ErrorType for UdpSender<'_> {
    type Error = Error;
}

impl UdpSend for UdpSender<'_> {
    async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
        self.0.send_to(data, remote).await
    }
}

impl UdpSocket {
    /// Joins a multicast group: datagrams to it are received from now on.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] for an address that is no group's, [`Error::TooManyGroups`], and without
    /// the feature `multicast` [`Error::Unsupported`].
    pub fn join(&self, group: IpAddr) -> Result<(), Error> {
        #[cfg(feature = "multicast")]
        return self.stack.with(|inner| inner.join(self.port, group));
        #[cfg(not(feature = "multicast"))]
        Err(self.no_groups(group))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// Without the feature `multicast` [`Error::Unsupported`].
    pub fn leave(&self, group: IpAddr) -> Result<(), Error> {
        #[cfg(feature = "multicast")]
        return self.stack.with(|inner| inner.leave(self.port, group));
        #[cfg(not(feature = "multicast"))]
        Err(self.no_groups(group))
    }

    #[cfg(not(feature = "multicast"))]
    fn no_groups(&self, _: IpAddr) -> Error {
        Error::Unsupported
    }
}

/// The interface is that of the stack, whichever is asked for.
macro_rules! multicast {
    ($($socket:ty: $it:ident => $port:expr),*) => {$(
        impl MulticastV4 for $socket {
            async fn join_v4(&mut self, group: Ipv4Addr, _: Ipv4Addr) -> Result<(), Error> {
                let $it = self;
                $port.join(group.into())
            }

            async fn leave_v4(&mut self, group: Ipv4Addr, _: Ipv4Addr) -> Result<(), Error> {
                let $it = self;
                $port.leave(group.into())
            }
        }

        impl MulticastV6 for $socket {
            async fn join_v6(&mut self, group: Ipv6Addr, _: u32) -> Result<(), Error> {
                let $it = self;
                $port.join(group.into())
            }

            async fn leave_v6(&mut self, group: Ipv6Addr, _: u32) -> Result<(), Error> {
                let $it = self;
                $port.leave(group.into())
            }
        }
    )*};
}

multicast!(UdpSocket: it => it, UdpSender<'_>: it => it.0);
