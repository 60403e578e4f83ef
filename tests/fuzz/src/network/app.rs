//! An app by a script: it accepts everybody, connects, reads, writes and lets go, now and then.

use core::future::Future;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Waker};
use std::cell::RefCell;
use std::rc::Rc;

use arbitrary::Unstructured;
use edge_nal::{Close, TcpShutdown as _};
use embedded_io_async::{Read as _, Write as _};
use landfall_net::{Stack, TcpSocket, UdpSocket};

use super::{TCP_PORT, UDP_PORT, byte, word};
use crate::world::World;

/// Tasks that connect, and UDP sockets, of one script.
const MOST: usize = 16;

pub(super) struct App {
    sockets: Rc<RefCell<Vec<TcpSocket>>>,
    datagrams: Vec<UdpSocket>,
    opened: usize,
}

/// Polls once, and lets the future go: an app may change its mind.
fn once<T>(future: impl Future<Output = T>) {
    let mut context = Context::from_waker(Waker::noop());
    let _ = pin!(future).poll(&mut context);
}

impl App {
    pub(super) fn new(stack: &Stack, world: &mut World) -> Self {
        let listener = stack.bind_tcp(TCP_PORT).expect("the first one");
        let sockets: Rc<RefCell<Vec<TcpSocket>>> = Rc::default();
        let accepted = sockets.clone();
        world.spawn(async move {
            while let Ok((_, socket)) = listener.accept().await {
                accepted.borrow_mut().push(socket);
            }
        });
        let first = stack.bind_udp(UDP_PORT).expect("the first one");
        Self {
            sockets,
            datagrams: vec![first],
            opened: 0,
        }
    }

    /// Connects, or opens a UDP port, somewhere.
    pub(super) fn opens(
        &mut self,
        stack: &Stack,
        world: &mut World,
        script: &mut Unstructured<'_>,
    ) {
        if self.opened >= MOST {
            return;
        }
        self.opened += 1;
        let (choice, peer) = (byte(script), byte(script));
        if choice & 1 != 0 {
            let port = if choice & 2 == 0 { 0 } else { word(script) };
            return self.datagrams.extend(stack.bind_udp(port));
        }
        let address: IpAddr = match choice >> 1 & 7 {
            0..=2 => Ipv4Addr::new(10, 1, 0, peer & 7).into(),
            3..=5 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, (peer & 7).into()).into(),
            6 => Ipv4Addr::from_bits(script.arbitrary().unwrap_or_default()).into(),
            _ => Ipv6Addr::from_bits(script.arbitrary().unwrap_or_default()).into(),
        };
        let (stack, sockets) = (stack.clone(), self.sockets.clone());
        world.spawn(async move {
            let connected = stack.connect_tcp((address, 80).into()).await;
            sockets.borrow_mut().extend(connected);
        });
    }

    /// Does something with one of the connections.
    pub(super) fn acts(&mut self, script: &mut Unstructured<'_>) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(last) = sockets.len().checked_sub(1) else {
            return;
        };
        let index = usize::from(byte(script)).min(last);
        let socket = &mut sockets[index];
        match byte(script) % 8 {
            0 | 1 => once(socket.read(&mut vec![0; 1 + usize::from(word(script) % 9000)])),
            2 | 3 => once(socket.write(&vec![7; 1 + usize::from(word(script) % 9000)])),
            4 => once(socket.close(Close::Write)),
            5 => once(socket.close(Close::Both)),
            6 => socket.reset(),
            _ => drop(sockets.remove(index)),
        }
    }

    /// Does something with one of the UDP sockets.
    pub(super) fn datagrams(&mut self, script: &mut Unstructured<'_>) {
        let index = usize::from(byte(script)) % self.datagrams.len().max(1);
        let Some(socket) = self.datagrams.get(index) else {
            return;
        };
        let choice = byte(script);
        let peer = byte(script) & 7;
        let to: IpAddr = match choice & 0x10 {
            0 => Ipv4Addr::new(10, 1, 0, peer).into(),
            _ => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, peer.into()).into(),
        };
        let group: IpAddr = match choice & 0x10 {
            0 => Ipv4Addr::new(224, 0, 0, 248 + peer).into(),
            _ => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xf8 + u16::from(peer)).into(),
        };
        match choice % 6 {
            0 => once(socket.receive_from(&mut [0; 300])),
            1 | 2 => {
                let data = vec![3; usize::from(word(script) % 1500)];
                once(socket.send_to(&data, SocketAddr::new(to, 2000)));
            }
            3 => drop(socket.join(group)),
            4 => drop(socket.leave(group)),
            _ => drop(self.datagrams.remove(index)),
        }
    }

    pub(super) fn let_go(&mut self) {
        self.sockets.borrow_mut().clear();
        self.datagrams.clear();
    }
}
