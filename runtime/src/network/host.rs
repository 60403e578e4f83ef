//! The host's sockets, by `edge-nal-std`.

use crate::{Error, shutdown};
use alloc::format;
use core::{
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
};
use edge_nal::{TcpAccept, TcpBind, TcpConnect};
use edge_nal_std::{Stack, TcpAcceptor, TcpSocket};
use futures_util::future::{Either, select};
use std::io;

/// Listens on `port` of all IPv4 addresses.
pub(super) async fn bind(port: u16) -> Result<TcpAcceptor, Error> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    Stack::new().bind(address).await.map_err(|cause| {
        let advice = match cause.kind() {
            io::ErrorKind::AddrInUse => "; end what uses it, or choose another with port=…",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need rights",
            _ => "",
        };
        error(
            format!("cannot listen on TCP port {port}: {cause}{advice}"),
            &cause,
        )
    })
}

/// Opens UDP `port` of all IPv4 addresses.
#[cfg(feature = "sntp")]
pub(super) async fn bind_udp(port: u16) -> Result<edge_nal_std::UdpSocket, Error> {
    use edge_nal::UdpBind;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let socket = UdpBind::bind(&Stack::new(), address).await;
    socket.map_err(|cause| error(format!("cannot open UDP port {port}: {cause}"), &cause))
}

/// Takes the next connection of `listener`, until the system is to `end`.
pub(super) async fn accept(
    listener: &TcpAcceptor,
    end: &shutdown::Request,
) -> Result<(SocketAddr, TcpSocket), Error> {
    let accepted = match select(end.heard(), pin!(listener.accept())).await {
        Either::Left(_) => return Err(landfall_net::Error::ShuttingDown.into()),
        Either::Right((accepted, _)) => accepted,
    };
    let (remote, socket) = accepted?;
    send_at_once(&socket)?;
    Ok((remote, socket))
}

/// Connects to `remote`.
pub(super) async fn connect(remote: SocketAddr) -> Result<TcpSocket, Error> {
    let connected = Stack::new().connect(remote).await;
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
