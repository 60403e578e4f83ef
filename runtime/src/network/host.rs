//! The host's sockets, by `edge-nal-std`.

use crate::{Error, shutdown};
use alloc::format;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
};
use edge_nal::{
    MulticastV4, MulticastV6, TcpAccept, TcpBind, TcpConnect, UdpBind, UdpReceive, UdpSend,
};
use edge_nal_std::{Stack, TcpAcceptor, TcpSocket, UdpSocket};
use futures_util::future::{Either, select};
use std::io;

/// All addresses, of both kinds where the host has IPv6, and else of IPv4.
const ALL: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
];

/// Listens on `port` of all addresses.
pub(super) async fn bind(port: u16) -> Result<TcpAcceptor, Error> {
    let bind = |address| async move { TcpBind::bind(&Stack::new(), address).await };
    on_all(port, bind)
        .await
        .map_err(|cause| refused("listen on TCP", port, &cause))
}

/// Opens UDP port `port` of all addresses; 0 takes a free one.
pub(super) async fn bind_udp(port: u16) -> Result<UdpSocket, Error> {
    let bind = |address| async move { UdpBind::bind(&Stack::new(), address).await };
    on_all(port, bind)
        .await
        .map_err(|cause| refused("open UDP", port, &cause))
}

async fn on_all<T, F: Future<Output = io::Result<T>>>(
    port: u16,
    bind: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    match bind((ALL[0], port).into()).await {
        Err(cause) if cause.kind() != io::ErrorKind::AddrInUse => bind((ALL[1], port).into()).await,
        bound => bound,
    }
}

fn refused(what: &str, port: u16, cause: &io::Error) -> Error {
    let advice = match cause.kind() {
        io::ErrorKind::AddrInUse => "; end what uses it, or choose another with port=…",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need rights",
        _ => "",
    };
    error(format!("cannot {what} port {port}: {cause}{advice}"), cause)
}

/// Receives a datagram.
pub(super) async fn receive(
    mut socket: &UdpSocket,
    buffer: &mut [u8],
) -> Result<(usize, SocketAddr), Error> {
    let (length, remote) = UdpReceive::receive(&mut socket, buffer).await?;
    Ok((length.min(buffer.len()), canonical(remote)))
}

/// Sends a datagram.
pub(super) async fn send(
    mut socket: &UdpSocket,
    data: &[u8],
    remote: SocketAddr,
) -> Result<(), Error> {
    // A socket of both kinds knows IPv4 addresses as a part of IPv6's (RFC 4291, 2.5.5.2).
    let both = socket.get_ref().local_addr()?.is_ipv6();
    let to = match remote.ip() {
        IpAddr::V4(address) if both => (address.to_ipv6_mapped(), remote.port()).into(),
        _ => remote,
    };
    Ok(UdpSend::send(&mut socket, to, data).await?)
}

/// Joins a multicast group on the interface that the host chooses.
pub(super) async fn join(mut socket: &UdpSocket, group: IpAddr) -> Result<(), Error> {
    match group {
        IpAddr::V4(group) => socket.join_v4(group, Ipv4Addr::UNSPECIFIED).await?,
        IpAddr::V6(group) => socket.join_v6(group, 0).await?,
    }
    Ok(())
}

/// Leaves a multicast group.
pub(super) async fn leave(mut socket: &UdpSocket, group: IpAddr) -> Result<(), Error> {
    match group {
        IpAddr::V4(group) => socket.leave_v4(group, Ipv4Addr::UNSPECIFIED).await?,
        IpAddr::V6(group) => socket.leave_v6(group, 0).await?,
    }
    Ok(())
}

/// An IPv4 peer's address as such, also where a socket of both kinds met it.
fn canonical(remote: SocketAddr) -> SocketAddr {
    match remote.ip().to_canonical() {
        IpAddr::V4(address) => (address, remote.port()).into(),
        IpAddr::V6(_) => remote,
    }
}

/// Takes the next connection of `listener`, until the system is to `end`.
pub(super) async fn accept(
    listener: &TcpAcceptor,
    end: &shutdown::Request,
) -> Result<(SocketAddr, TcpSocket), Error> {
    let (remote, socket) = loop {
        match select(end.heard(), pin!(listener.accept())).await {
            Either::Left(_) => return Err(landfall_net::Error::ShuttingDown.into()),
            // The peer has reset it before its turn came. To the app it would mean that there are no more.
            Either::Right((Err(cause), _)) if cause.kind() == io::ErrorKind::NotConnected => {}
            Either::Right((accepted, _)) => break accepted?,
        }
    };
    send_at_once(&socket)?;
    Ok((canonical(remote), socket))
}

/// Connects to `remote`.
pub(super) async fn connect(remote: SocketAddr) -> Result<TcpSocket, Error> {
    let connected = TcpConnect::connect(&Stack::new(), remote).await;
    let socket =
        connected.map_err(|cause| error(format!("cannot connect to {remote}: {cause}"), &cause))?;
    send_at_once(&socket)?;
    Ok(socket)
}

/// Turns Nagle's algorithm off, as our own IP stack does.
fn send_at_once(socket: &TcpSocket) -> Result<(), Error> {
    Ok(socket.get_ref().set_nodelay(true)?)
}

fn error(what: alloc::string::String, cause: &io::Error) -> Error {
    Error::Host {
        what,
        kind: cause.kind().into(),
    }
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        error(format!("{cause}"), &cause)
    }
}

/// Asks the host's resolver.
#[cfg(feature = "dns")]
pub(super) async fn resolve(name: &str) -> Result<alloc::vec::Vec<IpAddr>, Error> {
    use edge_nal::{AddrType, Dns};
    let address = Stack::new()
        .get_host_by_name(name, AddrType::Either)
        .await
        .map_err(|cause| Error::Name {
            name: name.into(),
            why: format!("{cause}"),
        })?;
    Ok(alloc::vec![address])
}
