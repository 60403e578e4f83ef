//! DHCP against a tiny server, which also tries what a hostile one would.

use core::net::Ipv4Addr;
use std::cell::Cell;
use std::rc::Rc;
use std::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::wire::{Faults, Wire};
use super::{Random, World, clock, without_ipv6};
use crate::{Address, AddressConfig, AddressSource, Config, Stack};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);

/// How the server behaves; changed while it runs.
#[derive(Clone, Copy)]
struct Behaviour {
    answers: bool,
    offer: Ipv4Addr,
    source: Ipv4Addr,
    lease_s: u32,
    /// Requests of an address are refused.
    refuses: bool,
}

struct Server {
    wire: Wire,
    behaviour: Rc<Cell<Behaviour>>,
    requests: Rc<Cell<u32>>,
}

impl Server {
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let behaviour = self.behaviour.get();
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        if datagram.dst_port() != 67 {
            return None;
        }
        let question = DhcpPacket::new_checked(datagram.payload()).ok()?;
        let question = DhcpRepr::parse(&question).ok()?;
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if behaviour.refuses => DhcpMessageType::Nak,
            DhcpMessageType::Request => {
                self.requests.set(self.requests.get() + 1);
                DhcpMessageType::Ack
            }
            _ => return None,
        };
        let mut answer = DhcpRepr {
            message_type,
            your_ip: behaviour.offer,
            server_ip: GATEWAY,
            router: Some(GATEWAY),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            server_identifier: Some(GATEWAY),
            lease_duration: Some(behaviour.lease_s),
            dns_servers: Some(Default::default()),
            client_identifier: None,
            requested_ip: None,
            parameter_request_list: None,
            max_size: None,
            ..question
        };
        answer
            .dns_servers
            .as_mut()?
            .push(Ipv4Addr::new(9, 9, 9, 9))
            .ok()?;
        let udp = UdpRepr {
            src_port: 67,
            dst_port: 68,
        };
        let ipv4 = Ipv4Repr {
            src_addr: behaviour.source,
            dst_addr: behaviour.offer,
            next_header: IpProtocol::Udp,
            payload_len: 8 + answer.buffer_len(),
            hop_limit: 64,
        };
        let mut reply = std::vec![0; 14 + 20 + 8 + answer.buffer_len()];
        EthernetRepr {
            src_addr: EthernetAddress(Wire::hardware(1)),
            dst_addr: ethernet.src_addr(),
            ethertype: EthernetProtocol::Ipv4,
        }
        .emit(&mut EthernetFrame::new_unchecked(&mut reply));
        let checksums = ChecksumCapabilities::default();
        ipv4.emit(&mut Ipv4Packet::new_unchecked(&mut reply[14..]), &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut reply[34..]),
            &ipv4.src_addr.into(),
            &ipv4.dst_addr.into(),
            answer.buffer_len(),
            |bytes| answer.emit(&mut DhcpPacket::new_unchecked(bytes)).unwrap(),
            &checksums,
        );
        Some(reply)
    }

    /// Answers ARP requests for the gateway, so that renewals can be sent to it.
    fn answer_arp(frame: &[u8]) -> Option<Vec<u8>> {
        if frame.get(12..14)? != [8, 6] || frame.get(38..42)? != GATEWAY.octets() {
            return None;
        }
        let mut reply = Vec::from(&frame[6..12]);
        reply.extend(Wire::hardware(1));
        reply.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        reply.extend(Wire::hardware(1));
        reply.extend(GATEWAY.octets());
        reply.extend(&frame[22..32]);
        Some(reply)
    }

    async fn run(self) {
        loop {
            while let Some(frame) = self.wire.take(1) {
                let answers = self.behaviour.get().answers;
                let dhcp = self.answer(&frame).filter(|_| answers);
                if let Some(reply) = Server::answer_arp(&frame).or(dhcp) {
                    self.wire.inject(0, &reply);
                }
            }
            clock::sleep_ms(1).await;
        }
    }
}

fn start(behaviour: Behaviour) -> (World, Wire, Stack, Rc<Cell<Behaviour>>, Rc<Cell<u32>>) {
    let world = World::default();
    let wire = Wire::new(Faults::default());
    let (stack, mut runner) = crate::new(
        wire.end(0),
        without_ipv6(Config::new(AddressConfig::Dhcp, 42)),
    )
    .unwrap();
    world.spawn(async move { runner.run().await });
    let (behaviour, requests) = (Rc::new(Cell::new(behaviour)), Rc::new(Cell::new(0)));
    let server = Server {
        wire: wire.clone(),
        behaviour: behaviour.clone(),
        requests: requests.clone(),
    };
    world.spawn(server.run());
    (world, wire, stack, behaviour, requests)
}

const GOOD: Behaviour = Behaviour {
    answers: true,
    offer: Ipv4Addr::new(192, 168, 7, 50),
    source: GATEWAY,
    lease_s: 600,
    refuses: false,
};

fn address(offer: Ipv4Addr) -> Address {
    Address {
        address: offer,
        prefix: 24,
        gateway: Some(GATEWAY),
        dns_servers: [Some(Ipv4Addr::new(9, 9, 9, 9)), None, None],
        source: AddressSource::Dhcp,
    }
}

#[test]
fn a_lease_is_taken_and_renewed() {
    let (world, _wire, stack, _, requests) = start(GOOD);
    world.run(async move {
        let before = clock::now();
        assert_eq!(stack.wait_address().await, GOOD.offer);
        assert!((clock::now() - before).total_millis() < 20);
        assert_eq!(
            std::format!("{}", stack.address().unwrap()),
            "192.168.7.50/24, gateway 192.168.7.1 (DHCP)"
        );
        clock::sleep_ms(1_000_000).await;
        assert_eq!(requests.get(), 4);
        assert_eq!(stack.address(), Some(address(GOOD.offer)));
    });
}

#[test]
fn a_server_that_comes_late_or_goes_away_is_survived() {
    let (world, wire, stack, behaviour, _) = start(Behaviour {
        answers: false,
        ..GOOD
    });
    world.run(async move {
        clock::sleep_ms(35_000).await;
        assert_eq!(stack.address(), None);
        behaviour.set(GOOD);
        assert_eq!(stack.wait_address().await, GOOD.offer);
        // Gone for longer than the lease: the address is given up.
        behaviour.set(Behaviour {
            answers: false,
            ..GOOD
        });
        clock::sleep_ms(700_000).await;
        assert_eq!(stack.address(), None);
        // Back with another address.
        let other = Behaviour {
            offer: Ipv4Addr::new(192, 168, 7, 99),
            ..GOOD
        };
        behaviour.set(other);
        assert_eq!(stack.wait_address().await, other.offer);
        // The link goes and comes: asked again at once, the old address kept until then.
        wire.set_link(false);
        clock::sleep_ms(5000).await;
        assert_eq!(stack.address(), Some(address(other.offer)));
        behaviour.set(GOOD);
        wire.set_link(true);
        clock::sleep_ms(100).await;
        assert_eq!(stack.address(), Some(address(GOOD.offer)));
        // And again with no server: after a minute the address is not ours to use any more.
        behaviour.set(Behaviour {
            answers: false,
            ..GOOD
        });
        wire.set_link(false);
        clock::sleep_ms(100).await;
        wire.set_link(true);
        clock::sleep_ms(30_000).await;
        assert!(stack.address().is_some());
        clock::sleep_ms(60_000).await;
        assert_eq!(stack.address(), None);
    });
}

#[test]
fn a_hostile_server_does_no_harm() {
    for (offer, source, lease_s) in [
        ([0, 0, 0, 0], GATEWAY, 600),
        ([255, 255, 255, 255], GATEWAY, 600),
        ([224, 0, 0, 1], GATEWAY, 600),
        ([127, 0, 0, 1], GATEWAY, 600),
        ([192, 168, 7, 50], Ipv4Addr::UNSPECIFIED, 600),
        ([192, 168, 7, 50], GATEWAY, 0),
        ([192, 168, 7, 50], GATEWAY, u32::MAX),
    ] {
        let hostile = Behaviour {
            answers: true,
            offer: offer.into(),
            source,
            lease_s,
            refuses: false,
        };
        let (world, wire, stack, behaviour, _) = start(hostile);
        world.run(async move {
            let mut random = Random(1);
            for _ in 0..200 {
                clock::sleep_ms(100).await;
                let mut noise = random.bytes(400);
                noise[..6].copy_from_slice(&Wire::hardware(0));
                wire.inject(0, &noise);
            }
            // Past the time to renew, which is when a server at 0.0.0.0 would be written to.
            if source.is_unspecified() {
                clock::sleep_ms(400_000).await;
            }
            behaviour.set(GOOD);
            // A lease without end is kept; everything else recovers.
            clock::sleep_ms(60_000).await;
            assert_eq!(stack.address(), Some(address(GOOD.offer)));
        });
    }
}

/// Frames of a record that ask a DHCP server for an address: whether each was to everybody.
fn asked_everybody(record: &[Vec<u8>]) -> Vec<bool> {
    // The destination port of UDP, and the message type, which is smoltcp's first option.
    let asks = |it: &&Vec<u8>| it.len() > 284 && it[36..38] == [0, 67] && it[284] == 3;
    let asked = record.iter().filter(asks);
    asked.map(|it| it[..6] == [0xff; 6]).collect()
}

#[test]
fn a_lease_is_renewed_with_its_server_and_then_with_any() {
    let (world, wire, stack, behaviour, _) = start(GOOD);
    world.run(async move {
        stack.wait_address().await;
        // Silent from half of the lease to nine tenths of it.
        behaviour.set(Behaviour {
            answers: false,
            ..GOOD
        });
        wire.record();
        clock::sleep_ms(522_000).await;
        let early = asked_everybody(&wire.recorded());
        assert!(
            early.contains(&false) && !early.contains(&true),
            "{early:?}"
        );
        wire.record();
        clock::sleep_ms(13_000).await;
        let late = asked_everybody(&wire.recorded());
        assert!(late.contains(&true), "{late:?}");
        behaviour.set(GOOD);
        for _ in 0..600 {
            clock::sleep_ms(1000).await;
            assert_eq!(stack.address(), Some(address(GOOD.offer)));
        }
    });
}

#[test]
fn another_address_ends_the_connections_of_the_old_one_and_no_others() {
    let short = Behaviour {
        lease_s: 60,
        ..GOOD
    };
    let (world, wire, stack, behaviour, _) = start(short);
    world.run(async move {
        stack.wait_address().await;
        let listener = stack.bind_tcp(80).unwrap();
        // The gateway connects, by hand.
        let syn = |to: Ipv4Addr, port| {
            let mut frame = super::hostile::segment(GATEWAY, (port, 80), (7, 0), 2, &[]);
            frame[30..34].copy_from_slice(&to.octets());
            super::hostile::repair(&mut frame);
            frame
        };
        let ack = |to: Ipv4Addr, port, theirs: u32| {
            let mut frame = super::hostile::segment(GATEWAY, (port, 80), (8, theirs), 0x10, &[]);
            frame[30..34].copy_from_slice(&to.octets());
            super::hostile::repair(&mut frame);
            frame
        };
        let connect = async |to: Ipv4Addr, port| {
            wire.record();
            wire.inject(0, &syn(to, port));
            clock::sleep_ms(50).await;
            let record = wire.recorded();
            let answer = record.iter().find(|it| it[23] == 6 && it.len() >= 54);
            let answer = answer.expect("the SYN is answered");
            let theirs = u32::from_be_bytes(answer[38..42].try_into().unwrap());
            wire.inject(0, &ack(to, port, theirs.wrapping_add(1)));
            listener.accept().await.unwrap().1
        };
        let mut old = connect(GOOD.offer, 1000).await;
        // The server refuses what it gave, and gives another.
        let other = Ipv4Addr::new(192, 168, 7, 60);
        behaviour.set(Behaviour {
            offer: other,
            refuses: true,
            ..GOOD
        });
        clock::sleep_ms(40_000).await;
        behaviour.set(Behaviour {
            offer: other,
            ..GOOD
        });
        clock::sleep_ms(10_000).await;
        assert_eq!(stack.address(), Some(address(other)));
        use embedded_io_async::Read;
        assert_eq!(
            old.read(&mut [0; 8]).await,
            Err(crate::Error::ConnectionAborted)
        );
        let new = connect(other, 1000).await;
        assert_eq!(new.local_address().ip(), other);
    });
}
