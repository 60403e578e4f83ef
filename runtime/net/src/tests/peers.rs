//! Single peers that keep to the letter, or not even that: windows that hardly open or never do, resets, frames that are too
//! short or too long, fragments, and neighbours who claim to be everybody.

use core::net::Ipv4Addr;
use std::vec::Vec;

use embedded_io_async::{Read, Write};

use super::hostile::{introduction, repair, segment};
use super::wire::{Faults, Wire};
use super::{CLIENT, PORT, Pair, Random, SERVER, World, ask, clock, config};
use crate::{Stack, TcpListener};

const PORTS: (u16, u16) = (4000, PORT);
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

/// A server, and a peer who is this test.
struct Alone {
    world: World,
    wire: Wire,
    server: Stack,
    listener: Option<TcpListener>,
}

impl Alone {
    fn new() -> Alone {
        let world = World::default();
        let wire = Wire::new(Faults::default());
        let (server, mut runner) = crate::new(wire.end(0), config(SERVER)).unwrap();
        world.spawn(async move { runner.run().await });
        let listener = Some(server.bind_tcp(PORT).unwrap());
        Alone {
            world,
            wire,
            server,
            listener,
        }
    }
}

/// The peer's side of a connection.
struct Peer {
    wire: Wire,
    /// What it sends next, and what it waits for.
    numbers: (u32, u32),
    received: Vec<u8>,
}

impl Peer {
    fn say(&self, numbers: (u32, u32), flags: u8, window: u16) {
        let mut frame = segment(CLIENT, PORTS, numbers, flags, &[]);
        frame[48..50].copy_from_slice(&window.to_be_bytes());
        repair(&mut frame);
        self.wire.inject(0, &frame);
    }

    /// Takes what the server sent, and keeps what comes next of its data. Returns whether there was a segment.
    fn hear(&mut self) -> bool {
        let mut heard = false;
        while let Some(frame) = self.wire.take(1) {
            if frame[12..14] != [8, 0] {
                continue;
            }
            heard = true;
            let number = u32::from_be_bytes(frame[38..42].try_into().unwrap());
            if number == self.numbers.1 {
                self.received.extend(&frame[54..]);
                self.numbers.1 = number.wrapping_add(frame.len() as u32 - 54);
            }
        }
        heard
    }

    /// Connects, with a window of so many bytes.
    async fn connect(wire: &Wire, window: u16) -> Peer {
        let mut peer = Peer {
            wire: wire.clone(),
            numbers: (1001, 0),
            received: Vec::new(),
        };
        wire.inject(0, &introduction());
        peer.say((1000, 0), 0x02, window);
        clock::sleep_ms(2).await;
        while let Some(frame) = wire.take(1) {
            if frame[12..14] == [8, 0] {
                let number = u32::from_be_bytes(frame[38..42].try_into().unwrap());
                peer.numbers.1 = number.wrapping_add(1);
            }
        }
        peer.say(peer.numbers, ACK, window);
        clock::sleep_ms(2).await;
        peer
    }
}

#[test]
fn a_window_of_a_few_bytes_lets_everything_through() {
    for window in [1, 7, 100] {
        let mut alone = Alone::new();
        let listener = alone.listener.take().unwrap();
        let server = alone.server.clone();
        let wire = alone.wire.clone();
        alone.world.spawn(async move {
            let (_, mut socket) = listener.accept().await.unwrap();
            let data: Vec<u8> = (0..300_u32).map(|it| it as u8).collect();
            socket.write_all(&data).await.unwrap();
            clock::sleep_ms(3_600_000).await;
        });
        alone.world.run(async move {
            let mut peer = Peer::connect(&wire, window).await;
            while peer.received.len() < 300 {
                peer.hear();
                peer.say(peer.numbers, ACK, window);
                clock::sleep_ms(20).await;
            }
            assert!(
                peer.received
                    .iter()
                    .enumerate()
                    .all(|(at, it)| at as u8 == *it)
            );
            assert_eq!(server.connections().open, 1);
        });
    }
}

/// A peer that answers every probe and never opens its window is alive. Who waits for it can wait; once nobody does, it is
/// not waited for.
#[test]
fn a_window_that_never_opens_holds_nothing_for_ever() {
    let mut alone = Alone::new();
    let listener = alone.listener.take().unwrap();
    let (server, wire) = (alone.server.clone(), alone.wire.clone());
    alone.world.spawn(async move {
        let (_, mut socket) = listener.accept().await.unwrap();
        socket.write_all(&[1; 3000]).await.unwrap();
        clock::sleep_ms(200_000).await;
        drop(socket);
        clock::sleep_ms(3_600_000).await;
    });
    alone.world.run(async move {
        let mut peer = Peer::connect(&wire, 0).await;
        let mut probes = 0;
        for second in 0..400 {
            let is_there = server.connections().total() > 0;
            if peer.hear() && is_there {
                probes += 1;
                // The byte of a probe is not taken.
                let taken = peer.received.len() as u32;
                peer.numbers.1 = peer.numbers.1.wrapping_sub(taken);
                peer.received.clear();
                peer.say(peer.numbers, ACK, 0);
            }
            if second == 150 {
                assert_eq!(server.connections().open, 1, "it is alive");
            }
            clock::sleep_ms(1000).await;
        }
        assert!((5..100).contains(&probes), "{probes} probes");
        assert_eq!(server.counters().orphans_aborted, 1);
        super::assert_empty(&server);
    });
}

#[test]
fn resets_end_a_connection_only_in_its_window() {
    let mut alone = Alone::new();
    let listener = alone.listener.take().unwrap();
    let (server, wire) = (alone.server.clone(), alone.wire.clone());
    alone.world.run(async move {
        let peer = Peer::connect(&wire, 1000).await;
        let (_, mut socket) = listener.accept().await.unwrap();
        let mut random = Random(9);
        let window = config(SERVER).rx_buffer.max(config(SERVER).roomy_buffer) as u32;
        for _ in 0..10_000 {
            // Anywhere but from the next byte on to the window's end.
            let off = window + random.next() as u32 % (u32::MAX - 2 * window);
            let numbers = (peer.numbers.0.wrapping_add(off), random.next() as u32);
            peer.say(numbers, [RST, RST | ACK][random.below(2)], 0);
            if random.below(100) == 0 {
                clock::sleep_ms(1).await;
            }
        }
        clock::sleep_ms(100).await;
        assert_eq!(
            (server.counters().resets, server.connections().open),
            (0, 1)
        );
        // Of other connections, and of none.
        let stray = segment(CLIENT, (4001, PORT), peer.numbers, RST, &[]);
        wire.inject(0, &stray);
        clock::sleep_ms(10).await;
        assert_eq!(server.connections().open, 1);
        peer.say(peer.numbers, RST | ACK, 0);
        clock::sleep_ms(10).await;
        assert_eq!(server.counters().resets, 1);
        assert!(socket.read(&mut [0; 10]).await.is_err());
        drop(socket);
        clock::sleep_ms(100).await;
        super::assert_empty(&server);
    });
}

#[test]
fn frames_that_are_too_short_or_too_long_are_counted() {
    let alone = Alone::new();
    let (server, wire) = (alone.server.clone(), alone.wire.clone());
    let _listener = alone.listener;
    alone.world.run(async move {
        let whole = segment(CLIENT, PORTS, (1000, 0), 2, &[]);
        for length in 0..whole.len() {
            wire.inject(0, &whole[..length]);
            clock::sleep_ms(1).await;
            let counters = server.counters();
            assert_eq!(counters.dropped_malformed, length as u64 + 1, "{length}");
        }
        let runts = whole.len() as u64;
        // Longer than what it says: what is behind is Ethernet's padding, whatever its length.
        for length in [60, 1514, 9000, 65_549] {
            let mut frame = whole.clone();
            frame.resize(length, 0xee);
            wire.inject(0, &frame);
            clock::sleep_ms(1).await;
        }
        // Longer than IP can say.
        let mut random = Random(4);
        for _ in 0..100 {
            let mut frame = random.bytes(70_000);
            frame[..12].copy_from_slice(&[Wire::hardware(0), Wire::hardware(1)].concat());
            wire.inject(0, &frame);
            clock::sleep_ms(1).await;
        }
        let counters = server.counters();
        assert_eq!(counters.dropped_malformed, runts);
        assert_eq!(counters.dropped_protocol, 100, "of no type that is known");
        assert_eq!(counters.frames_in, runts + 104);
        assert_eq!(server.connections().half_open, 1);
    });
}

#[test]
fn each_fragment_is_counted() {
    let alone = Alone::new();
    let (server, wire) = (alone.server.clone(), alone.wire.clone());
    let _listener = alone.listener;
    alone.world.run(async move {
        // The first, one in the middle, the last, and one that would end beyond what a packet can be.
        for (count, fragment) in [0x2000_u16, 0x2010, 0x0020, 0x3fff].into_iter().enumerate() {
            let mut frame = segment(CLIENT, PORTS, (1000, 0), 2, &[0; 100]);
            frame[20..22].copy_from_slice(&fragment.to_be_bytes());
            repair(&mut frame);
            wire.inject(0, &frame);
            clock::sleep_ms(1).await;
            assert_eq!(server.counters().dropped_fragment, count as u64 + 1);
        }
        assert_eq!(server.connections().total(), 0);
    });
}

/// Returns an ARP message from whoever has this hardware address and claims to be `from`.
fn claim(operation: u8, hardware: [u8; 6], from: Ipv4Addr) -> Vec<u8> {
    let mut frame = [Wire::hardware(0), hardware].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(hardware);
    frame.extend(from.octets());
    frame.extend(Wire::hardware(0));
    frame.extend(SERVER.octets());
    frame
}

/// ARP proves nothing, so who claims to be a peer gets its frames. But who claims to be many others, this host and nobody
/// among them, keeps nobody from being served: there are 32 places for neighbours.
#[test]
fn claims_of_many_neighbours_do_not_keep_one_from_being_served() {
    let pair = Pair::new(Faults::default());
    pair.serve_echo();
    let (client, wire) = (pair.client.clone(), pair.wire.clone());
    let noise = wire.clone();
    pair.world.spawn(async move {
        let mut random = Random(5);
        loop {
            for _ in 0..20 {
                let number = random.next() as u32;
                let from = match random.below(8) {
                    0 => SERVER,
                    1 => Ipv4Addr::UNSPECIFIED,
                    2 => Ipv4Addr::BROADCAST,
                    _ => Ipv4Addr::new(10, 1, 7, number as u8),
                };
                let hardware = match random.below(8) {
                    0 => [0xff; 6],
                    1 => Wire::hardware(0),
                    _ => [2, 9, 9, 9, (number >> 8) as u8, number as u8],
                };
                noise.inject(0, &claim(1 + random.below(2) as u8, hardware, from));
            }
            clock::sleep_ms(2).await;
        }
    });
    pair.world.run(async move {
        let mut socket = ask(&client).await;
        for _ in 0..200 {
            socket.write_all(&[3; 1000]).await.unwrap();
            socket.read_exact(&mut [0; 1000]).await.unwrap();
            clock::sleep_ms(20).await;
        }
        for _ in 0..20 {
            drop(ask(&client).await);
        }
    });
}
