//! IPv6: two stacks on a wire, and a router that the tests play.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::vec::Vec;

use edge_nal::{UdpReceive, UdpSend};
use embedded_io_async::{Read, Write};

use super::wire::{Faults, Wire};
use super::{PORT, Random, World, clock, echo, read_exactly};
use crate::{AddressConfig, Config, Error, Ipv6Config, Runner, Stack};
use landfall_offload::checksum;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 0);
const NAME_SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
const ROUTERS_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// The lower half of an end's addresses.
fn host(side: usize, upper: [u16; 4]) -> Ipv6Addr {
    let [a, b, c, d] = upper;
    Ipv6Addr::new(a, b, c, d, 0, 0x00ff, 0xfe00, side as u16 + 1)
}

fn on_link(side: usize) -> Ipv6Addr {
    host(side, [0xfe80, 0, 0, 0])
}

fn in_prefix(side: usize) -> Ipv6Addr {
    host(side, [0x2001, 0xdb8, 0, 7])
}

fn config(ipv6: Ipv6Config) -> Config {
    Config {
        ipv6,
        ..Config::new(AddressConfig::Off, 0x1234)
    }
}

fn fixed(address: Ipv6Addr) -> Ipv6Config {
    Ipv6Config::Static {
        address,
        prefix: 64,
        gateway: None,
    }
}

fn start(world: &World, wire: &Wire, side: usize, ipv6: Ipv6Config) -> Stack {
    let (stack, mut runner): (Stack, Runner<_>) = crate::new(wire.end(side), config(ipv6)).unwrap();
    world.spawn(async move { runner.run().await });
    stack
}

/// Two hosts that wait for a router.
fn pair() -> (World, Wire, Stack, Stack) {
    let (world, wire) = (World::default(), Wire::new(Faults::default()));
    let server = start(&world, &wire, 0, Ipv6Config::Automatic);
    let client = start(&world, &wire, 1, Ipv6Config::Automatic);
    let listener = server.bind_tcp(PORT).unwrap();
    let spawner = world.clone();
    world.spawn(async move {
        loop {
            let (_, mut socket) = listener.accept().await.unwrap();
            spawner.spawn(async move {
                let _ = echo(&mut socket).await;
            });
        }
    });
    (world, wire, server, client)
}

/// An ICMPv6 message in a frame to everybody.
fn frame(from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = std::vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(ROUTERS_HARDWARE);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([58, hop_limit]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(message);
    repair(&mut frame);
    frame
}

/// Makes the checksum of an ICMPv6 message right.
fn repair(frame: &mut [u8]) {
    let (head, message) = frame.split_at_mut(54);
    if message.len() >= 4 {
        message[2..4].fill(0);
        let sum = !checksum::transport(&head[22..54], 58, message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}

#[derive(Clone, Copy)]
struct Advertised {
    router_s: u16,
    valid_s: u32,
    preferred_s: u32,
    flags: u8,
    length: u8,
    prefix: Ipv6Addr,
    server_s: u32,
}

const GOOD: Advertised = Advertised {
    router_s: 1800,
    valid_s: 86_400,
    preferred_s: 14_400,
    flags: 0xc0,
    length: 64,
    prefix: PREFIX,
    server_s: 3600,
};

fn message(it: Advertised) -> Vec<u8> {
    let mut message = std::vec![134, 0, 0, 0, 64, 0];
    message.extend(it.router_s.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, it.length, it.flags]);
    message.extend(it.valid_s.to_be_bytes());
    message.extend(it.preferred_s.to_be_bytes());
    message.extend([0; 4]);
    message.extend(it.prefix.octets());
    message.extend([25, 3, 0, 0]);
    message.extend(it.server_s.to_be_bytes());
    message.extend(NAME_SERVER.octets());
    message.extend([1, 1]);
    message.extend(ROUTERS_HARDWARE);
    message
}

fn advertise(wire: &Wire, it: Advertised) {
    for side in 0..2 {
        wire.inject(side, &frame(ROUTER, ALL_NODES, 255, &message(it)));
    }
}

async fn ask(client: &Stack, remote: Ipv6Addr) -> crate::TcpSocket {
    let mut socket = client.connect_tcp((remote, PORT).into()).await.unwrap();
    socket.write_all(b"hello").await.unwrap();
    assert_eq!(read_exactly(&mut socket, 5).await, b"hello");
    socket
}

/// Sends and types of what a record has of neighbour discovery.
fn discovery(record: &[Vec<u8>]) -> Vec<u8> {
    let messages = record.iter().filter(|it| it[12..14] == [0x86, 0xdd]);
    messages
        .filter(|it| it[20] == 58)
        .map(|it| it[54])
        .collect()
}

#[test]
fn without_a_router_the_address_of_the_link_serves_and_nobody_asks_for_ever() {
    let (world, wire, server, client) = pair();
    wire.record();
    world.run(async move {
        let before = clock::now();
        assert_eq!(server.wait_address().await, on_link(0));
        // A second for whoever has it, and three questions.
        let waited = (clock::now() - before).total_millis();
        assert!((13_000..14_000).contains(&waited), "{waited} ms");
        client.wait_address().await;
        let socket = ask(&client, on_link(0)).await;
        let peer: IpAddr = on_link(0).into();
        assert_eq!(socket.remote_address().ip(), peer);
        assert_eq!(socket.local_address().ip(), IpAddr::V6(on_link(1)));
        drop(socket);
        clock::sleep_ms(3_000_000).await;
        let said = discovery(&wire.recorded());
        let count = |kind| said.iter().filter(|it| **it == kind).count();
        assert_eq!(
            count(133),
            6,
            "questions for a router, of two hosts: {said:?}"
        );
    });
}

#[test]
fn a_routers_prefix_makes_an_address_that_lives_as_long_as_it_is_advertised() {
    let (world, wire, server, client) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        assert_eq!(server.addresses(), [IpAddr::V6(on_link(0))]);
        advertise(&wire, GOOD);
        assert_eq!(server.wait_address().await, in_prefix(0));
        assert_eq!(client.wait_address().await, in_prefix(1));
        assert_eq!(server.dns_servers(), [IpAddr::V6(NAME_SERVER)]);
        // To the world beyond, by the router, as long as it says that it is one.
        let far: SocketAddr = (Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), 1).into();
        assert!(server.reaches(far));
        let mut socket = ask(&client, in_prefix(0)).await;
        assert_eq!(socket.local_address().ip(), IpAddr::V6(in_prefix(1)));

        let no_router = Advertised {
            router_s: 0,
            ..GOOD
        };
        advertise(&wire, no_router);
        clock::sleep_ms(10).await;
        assert!(!server.reaches(far));

        // Nobody can take an address away at once: two hours are left.
        let over = Advertised {
            valid_s: 0,
            preferred_s: 0,
            server_s: 0,
            ..no_router
        };
        advertise(&wire, over);
        clock::sleep_ms(3_000_000).await;
        assert_eq!(server.wait_address().await, in_prefix(0));
        assert_eq!(server.dns_servers(), [] as [IpAddr; 0]);
        clock::sleep_ms(500_000).await;
        socket.write_all(b"still").await.unwrap();
        assert_eq!(read_exactly(&mut socket, 5).await, b"still");
    });
    // In another run: the hour of simulated time ends one.
}

/// To a network that has nothing in common with ours a host sends from its address beyond the link all the
/// same.
#[test]
fn other_networks_hear_from_the_address_that_they_can_answer() {
    for far in [
        Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 9),
        Ipv6Addr::new(0x2a00, 0x1450, 0, 0, 0, 0, 0, 9),
    ] {
        let (world, wire, server, _) = pair();
        world.run(async move {
            clock::sleep_ms(2000).await;
            let prefix = Ipv6Addr::new(0x2a00, 1, 2, 3, 0, 0, 0, 0);
            advertise(&wire, Advertised { prefix, ..GOOD });
            let own = server.wait_address().await;
            let to = SocketAddr::from((far, 53));
            let socket = server.bind_udp(0).unwrap();
            wire.record();
            socket.send_to(b"a question", to).await.unwrap();
            clock::sleep_ms(10).await;
            // The router tells where it is, and gets the datagram.
            let mut advert = std::vec![136, 0, 0, 0, 0x60, 0, 0, 0];
            advert.extend(ROUTER.octets());
            advert.extend([2, 1]);
            advert.extend(ROUTERS_HARDWARE);
            wire.inject(0, &frame(ROUTER, on_link(0), 255, &advert));
            clock::sleep_ms(3000).await;
            let record = wire.recorded();
            let sent = record
                .iter()
                .find(|it| it[12..14] == [0x86, 0xdd] && it[20] == 17);
            let sent = sent.expect("the datagram");
            assert_eq!(sent[..6], ROUTERS_HARDWARE);
            let from = Ipv6Addr::from(*sent[22..38].first_chunk::<16>().unwrap());
            assert_eq!(IpAddr::V6(from), own, "to {far}");
        });
    }
}

#[test]
fn an_advertisement_that_is_repeated_makes_an_address_live_on() {
    let (world, wire, server, _) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        let short = Advertised {
            valid_s: 100,
            preferred_s: 100,
            ..GOOD
        };
        for _ in 0..5 {
            advertise(&wire, short);
            clock::sleep_ms(60_000).await;
            assert_eq!(server.addresses().len(), 2);
        }
        clock::sleep_ms(60_000).await;
        assert_eq!(server.addresses(), [IpAddr::V6(on_link(0))]);
    });
}

#[test]
fn an_address_that_ends_ends_its_connections() {
    let (world, wire, server, client) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        let short = Advertised {
            valid_s: 60,
            preferred_s: 60,
            ..GOOD
        };
        advertise(&wire, short);
        server.wait_address().await;
        client.wait_address().await;
        let mut socket = ask(&client, in_prefix(0)).await;
        clock::sleep_ms(70_000).await;
        assert_eq!(server.addresses(), [IpAddr::V6(on_link(0))]);
        assert_eq!(
            socket.read(&mut [0; 8]).await,
            Err(Error::ConnectionAborted)
        );
        let refused = client.connect_tcp((in_prefix(0), PORT).into()).await;
        assert!(refused.is_err());
        ask(&client, on_link(0)).await;
    });
}

#[test]
fn an_address_that_somebody_has_is_not_taken() {
    let (world, wire) = (World::default(), Wire::new(Faults::default()));
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5);
    let first = start(&world, &wire, 0, fixed(address));
    let (late, spawner) = (wire.clone(), world.clone());
    world.run(async move {
        assert_eq!(first.wait_address().await, address);
        // What the first has asked is long past.
        while late.take(1).is_some() {}
        let second = start(&spawner, &late, 1, fixed(address));
        clock::sleep_ms(5000).await;
        assert_eq!(second.addresses(), [IpAddr::V6(on_link(1))]);
        assert!(first.addresses().contains(&address.into()));
        // They still reach each other.
        let listener = first.bind_tcp(PORT).unwrap();
        let connected = second.connect_tcp((on_link(0), PORT).into()).await;
        assert!(connected.is_ok());
        drop(listener);
    });
}

#[test]
fn without_an_address_of_the_link_there_is_no_ipv6() {
    let (world, wire) = (World::default(), Wire::new(Faults::default()));
    let stack = start(&world, &wire, 0, Ipv6Config::Automatic);
    world.run(async move {
        clock::sleep_ms(500).await;
        let mut claim = std::vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        claim.extend(on_link(0).octets());
        wire.inject(0, &frame(on_link(0), ALL_NODES, 255, &claim));
        clock::sleep_ms(5000).await;
        assert_eq!(stack.addresses(), [] as [IpAddr; 0]);
        advertise(&wire, GOOD);
        clock::sleep_ms(5000).await;
        assert_eq!(stack.addresses(), [] as [IpAddr; 0]);
    });
}

#[test]
fn wrong_configurations_are_refused() {
    let wire = Wire::new(Faults::default());
    for (address, prefix) in [
        (Ipv6Addr::UNSPECIFIED, 64),
        (Ipv6Addr::LOCALHOST, 64),
        (ALL_NODES, 64),
        (on_link(0), 129),
    ] {
        let wrong = Ipv6Config::Static {
            address,
            prefix,
            gateway: None,
        };
        let made = crate::new(wire.end(0), config(wrong));
        assert_eq!(
            made.err(),
            Some(Error::InvalidConfiguration),
            "{address}/{prefix}"
        );
    }
}

#[test]
fn datagrams_go_both_ways_and_echo_requests_are_answered() {
    let (world, wire, server, client) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        advertise(&wire, GOOD);
        server.wait_address().await;
        client.wait_address().await;
        let mut one = server.bind_udp(7).unwrap();
        let mut other = client.bind_udp(0).unwrap();
        let to = SocketAddr::from((in_prefix(0), 7));
        other.send(to, b"over there?").await.unwrap();
        let mut data = [0; 100];
        let (length, from) = one.receive(&mut data).await.unwrap();
        assert_eq!(&data[..length], b"over there?");
        assert_eq!(from.ip(), IpAddr::V6(in_prefix(1)));
        let long = std::vec![0; 1452];
        assert_eq!(other.send(to, &long).await, Ok(()));
        assert_eq!(
            other.send(to, &[&long[..], &[0]].concat()).await,
            Err(Error::DatagramTooLong(1452))
        );
        // Without a checksum it is not one of IPv6.
        let before = server.counters().dropped_checksum;
        wire.record();
        other.send(to, b"x").await.unwrap();
        clock::sleep_ms(5).await;
        let mut sent = wire.recorded().pop().unwrap();
        sent[60..62].fill(0);
        wire.inject(0, &sent);
        clock::sleep_ms(5).await;
        assert_eq!(server.counters().dropped_checksum, before + 1);

        let ping = [128, 0, 0, 0, 0, 1, 0, 1, b'p', b'i', b'n', b'g'];
        wire.record();
        let mut request = frame(in_prefix(1), in_prefix(0), 64, &ping);
        request[..6].copy_from_slice(&Wire::hardware(0));
        wire.inject(0, &request);
        clock::sleep_ms(10).await;
        // To nobody in particular it is not answered.
        wire.inject(0, &frame(in_prefix(1), ALL_NODES, 64, &ping));
        clock::sleep_ms(10).await;
        let said = discovery(&wire.recorded());
        assert_eq!(said.iter().filter(|it| **it == 129).count(), 1, "{said:?}");
    });
}

#[test]
fn advertisements_that_cannot_be_are_ignored() {
    let short = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    let wrong = [
        Advertised { length: 63, ..GOOD },
        Advertised {
            length: 255,
            ..GOOD
        },
        Advertised {
            flags: 0x80,
            ..GOOD
        },
        Advertised {
            preferred_s: 86_401,
            ..GOOD
        },
        Advertised {
            preferred_s: u32::MAX,
            ..GOOD
        },
        Advertised {
            prefix: short,
            ..GOOD
        },
        Advertised {
            prefix: ALL_NODES,
            ..GOOD
        },
        Advertised {
            prefix: Ipv6Addr::UNSPECIFIED,
            ..GOOD
        },
        Advertised {
            valid_s: 0,
            preferred_s: 0,
            ..GOOD
        },
    ];
    for (number, it) in wrong.into_iter().enumerate() {
        let (world, wire, server, _) = pair();
        world.run(async move {
            clock::sleep_ms(2000).await;
            advertise(&wire, it);
            clock::sleep_ms(5000).await;
            assert_eq!(server.addresses(), [IpAddr::V6(on_link(0))], "{number}");
        });
    }
    // As messages they are wrong: from another network, not from a router of the link, with another code,
    // with an option that has no length or goes beyond the end, cut off, with a wrong checksum.
    let (world, wire, server, _) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        let good = message(GOOD);
        let change = |at: usize, value: u8| {
            let mut changed = good.clone();
            changed[at] = value;
            frame(ROUTER, ALL_NODES, 255, &changed)
        };
        let mut broken = frame(ROUTER, ALL_NODES, 255, &good);
        broken[60] ^= 1;
        let frames = [
            frame(ROUTER, ALL_NODES, 254, &good),
            frame(in_prefix(5), ALL_NODES, 255, &good),
            change(1, 1),
            change(17, 0),
            change(good.len() - 7, 9),
            frame(ROUTER, ALL_NODES, 255, &good[..15]),
            frame(ROUTER, ALL_NODES, 255, &good[..40]),
            broken,
        ];
        for it in frames {
            wire.inject(0, &it);
        }
        clock::sleep_ms(5000).await;
        assert_eq!(server.addresses(), [IpAddr::V6(on_link(0))]);
        let counters = server.counters();
        assert_eq!(counters.dropped_malformed, 7, "{counters:?}");
        assert_eq!(counters.dropped_checksum, 1, "{counters:?}");
    });
}

#[test]
fn a_thousand_routers_and_prefixes_take_no_more_memory_than_a_few() {
    let (world, wire, server, client) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        for number in 1..1000_u16 {
            let it = Advertised {
                prefix: Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0),
                ..GOOD
            };
            let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, number);
            let mut message = message(it);
            let at = message.len() - 10;
            message[at..at + 2].copy_from_slice(&number.to_be_bytes());
            wire.inject(0, &frame(router, ALL_NODES, 255, &message));
        }
        clock::sleep_ms(5000).await;
        assert_eq!(server.addresses().len(), 3);
        assert_eq!(server.dns_servers().len(), 2);
        clock::sleep_ms(15_000).await;
        ask(&client, on_link(0)).await;
    });
}

/// Frames of every kind, right and almost right, among them those that smoltcp asserts against.
#[test]
fn noise_does_no_harm() {
    let (world, wire, server, client) = pair();
    world.run(async move {
        clock::sleep_ms(2000).await;
        advertise(&wire, GOOD);
        server.wait_address().await;
        let mut random = Random(4);
        let addresses = [
            ROUTER,
            ALL_NODES,
            Ipv6Addr::UNSPECIFIED,
            Ipv6Addr::LOCALHOST,
            on_link(0),
            on_link(1),
            in_prefix(0),
            in_prefix(1),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1),
        ];
        for round in 0..60_000 {
            let mut pick = || addresses[random.below(addresses.len())];
            let (from, to, target) = (pick(), pick(), pick());
            let kinds = [
                128, 129, 1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143,
            ];
            let mut message = std::vec![kinds[random.below(kinds.len())], 0, 0, 0];
            message.extend([0; 4]);
            message.extend(target.octets());
            let length = random.below(60);
            message.extend(random.bytes(length));
            if random.below(2) == 0 {
                message[24..].fill(0);
                if let [kind, length, ..] = &mut message[24..] {
                    (*kind, *length) = (random.below(6) as u8, random.below(4) as u8);
                }
            }
            let hops = [255, 64, 1][random.below(3)];
            let mut it = frame(from, to, hops, &message);
            match random.below(4) {
                0 => it[20] = [0, 6, 17, 43, 44, 58, 60][random.below(7)],
                1 => {
                    let at = 12 + random.below(it.len() - 12);
                    it[at] = random.next() as u8;
                    repair(&mut it);
                }
                2 => it.truncate(random.below(it.len() + 1)),
                _ => {}
            }
            wire.inject(round % 2, &it);
            if round % 50 == 0 {
                clock::sleep_ms(1).await;
            }
        }
        // What the noise has put into the caches of neighbours is out of them after a while.
        clock::sleep_ms(120_000).await;
        let _ = client.wait_address().await;
        assert!(server.counters().dropped_malformed > 0);
        ask(&client, on_link(0)).await;
    });
}
