//! What a network can throw at a server: floods, noise, and frames that are almost right.

use core::net::Ipv4Addr;
use std::vec::Vec;

use embedded_io_async::{Read, Write};

use super::wire::{Faults, Wire};
use super::{CLIENT, PORT, Pair, Random, SERVER, ask, clock, config};
use crate::AddressConfig;
use landfall_offload::checksum;

/// Returns an Ethernet frame to the server with a TCP segment in it.
pub(super) fn segment(
    from: Ipv4Addr,
    ports: (u16, u16),
    numbers: (u32, u32),
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(Wire::hardware(0));
    frame.extend(Wire::hardware(1));
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + data.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(from.octets());
    frame.extend(SERVER.octets());
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend(numbers.0.to_be_bytes());
    frame.extend(numbers.1.to_be_bytes());
    frame.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend(data);
    repair(&mut frame);
    frame
}

/// Makes the checksums of a frame right, as far as its lengths allow.
pub(super) fn repair(frame: &mut [u8]) {
    let Some((ethernet, packet)) = frame.split_at_mut_checked(14) else {
        return;
    };
    let header_length = packet
        .first()
        .map_or(0, |first| usize::from(first & 15) * 4);
    if ethernet[12..] != [8, 0] || header_length < 20 || packet.len() < header_length + 8 {
        return;
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if total < header_length || total > packet.len() {
        return;
    }
    let (header, rest) = packet.split_at_mut(header_length);
    header[10..12].fill(0);
    let sum = !checksum::sum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let rest = &mut rest[..total - header_length];
    let protocol = header[9];
    let field = match protocol {
        1 => 2,
        6 => 16,
        17 => 6,
        _ => return,
    };
    if rest.len() < field + 2 {
        return;
    }
    rest[field..field + 2].fill(0);
    let sum = match protocol {
        1 => !checksum::sum(rest),
        _ => !checksum::transport(&header[12..20], protocol, rest),
    };
    rest[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn a_syn_flood_does_not_keep_clients_out() {
    for spoofed_nearby in [true, false] {
        let mut routed = config(SERVER);
        let gateway = Some(CLIENT);
        routed.address = AddressConfig::Static {
            address: SERVER,
            prefix: 16,
            gateway,
        };
        let pair = Pair::with(Faults::default(), routed, config(CLIENT));
        pair.serve_echo();
        let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
        pair.world.run(async move {
            let old = ask(&client).await;
            let mut random = Random(3);
            for round in 0..100 {
                for _ in 0..100 {
                    let number = random.next() as u32;
                    let base = if spoofed_nearby { [10, 1] } else { [198, 18] };
                    let from =
                        Ipv4Addr::new(base[0], base[1], (number >> 8) as u8 | 1, number as u8 | 1);
                    let ports = ((number >> 16) as u16 | 1, PORT);
                    wire.inject(0, &segment(from, ports, (number, 0), 2, &[]));
                }
                clock::sleep_ms(1).await;
                assert!(server.connections().total() <= 1025, "round {round}");
            }
            assert!(server.counters().dropped_backlog > 0);
            let start = clock::now();
            let new = ask(&client).await;
            assert!((clock::now() - start).total_millis() < 3500);
            drop((old, new));
            clock::sleep_ms(12_000).await;
            assert_eq!(server.connections().half_open, 0);
            Pair::until_empty(server, client).await;
        });
    }
}

#[test]
fn a_long_flood_still_leaves_room_for_clients() {
    let mut small = config(SERVER);
    small.max_connections = 64;
    let pair = Pair::with(Faults::default(), small, config(CLIENT));
    pair.serve_echo();
    let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
    let flood = wire.clone();
    pair.world.spawn(async move {
        let mut random = Random(4);
        loop {
            let number = random.next() as u32;
            let from = Ipv4Addr::new(10, 1, 200, number as u8 | 1);
            let ports = ((number >> 16) as u16 | 1, PORT);
            flood.inject(0, &segment(from, ports, (number, 0), 2, &[]));
            clock::sleep_ms(5).await;
        }
    });
    pair.world.run(async move {
        clock::sleep_ms(20_000).await;
        for _ in 0..10 {
            let start = clock::now();
            drop(ask(&client).await);
            assert!((clock::now() - start).total_millis() < 8000);
        }
        assert!(server.counters().half_open_evicted > 0);
        assert!(server.connections().total() <= 64);
    });
}

#[test]
fn a_flood_gets_small_buffers_and_a_client_large_ones() {
    let mut rich = config(SERVER);
    rich.free_memory = Some(|| 1 << 30);
    let least = rich.rx_buffer;
    let large = rich.roomy_buffer;
    let pair = Pair::with(Faults::default(), rich, config(CLIENT));
    pair.serve_echo();
    let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
    pair.world.run(async move {
        let buffers = || {
            server.with(|inner| {
                let ids = inner.connections.ids();
                let found = ids.iter().filter_map(|&id| inner.connections.get(id));
                found
                    .map(|it| it.tcp.receive_capacity())
                    .collect::<std::vec::Vec<_>>()
            })
        };
        let _old = ask(&client).await;
        assert_eq!(buffers(), [large]);
        for port in 1..=200 {
            let from = Ipv4Addr::new(10, 1, 200, 1);
            wire.inject(0, &segment(from, (port, PORT), (1, 0), 2, &[]));
        }
        clock::sleep_ms(1).await;
        let sizes = buffers();
        assert_eq!(sizes.len(), 201);
        let roomy = sizes.iter().filter(|&&size| size == large).count();
        assert!((2..=40).contains(&roomy), "{roomy} of the flood's");
        assert_eq!(
            sizes.iter().filter(|&&size| size == least).count(),
            201 - roomy
        );
    });
}

/// Frames of a real session of the pair, from the client to the server and back.
fn session() -> Vec<Vec<u8>> {
    let pair = Pair::new(Faults::default());
    pair.serve_echo();
    let udp = pair.server.bind_udp(53).unwrap();
    pair.wire.record();
    let (client, wire) = (pair.client.clone(), pair.wire.clone());
    pair.world.run(async move {
        let mut socket = ask(&client).await;
        socket.write_all(&[1; 3000]).await.unwrap();
        socket.read_exact(&mut [0; 3000]).await.unwrap();
        drop(socket);
        let ours = client.bind_udp(0).unwrap();
        ours.send_to(b"question", (SERVER, 53).into())
            .await
            .unwrap();
        udp.receive_from(&mut [0; 100]).await.unwrap();
        clock::sleep_ms(100).await;
        wire.recorded()
    })
}

fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        match random.below(6) {
            0 => frame.truncate(random.below(frame.len() + 1)),
            1 => {
                let length = random.below(40);
                frame.extend(random.bytes(length));
            }
            // The addresses of the frame and the packet, so that some are odd and some are right.
            2 if frame.len() > 34 => {
                let odd = [
                    [0; 4],
                    [255; 4],
                    [127, 0, 0, 1],
                    SERVER.octets(),
                    [10, 1, 255, 255],
                    [224, 0, 0, 1],
                ];
                let at = if random.below(2) == 0 { 26 } else { 30 };
                frame[at..at + 4].copy_from_slice(&odd[random.below(odd.len())]);
            }
            3 if frame.len() > 47 => frame[47] = random.next() as u8,
            _ if frame.is_empty() => {}
            _ => {
                // Mostly in the headers.
                let at = random.below(frame.len().min(80));
                frame[at] = random.next() as u8;
            }
        }
    }
}

#[test]
fn noise_and_mutated_frames_do_no_harm() {
    let templates = session();
    assert!(templates.len() > 10);
    let mut settings = config(SERVER);
    settings.max_connections = 200;
    let pair = Pair::with(Faults::default(), settings, config(CLIENT));
    pair.serve_echo();
    let _udp = pair.server.bind_udp(53).unwrap();
    let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
    pair.world.run(async move {
        let mut random = Random(6);
        for round in 0..2000 {
            for _ in 0..50 {
                let mut frame = match random.below(10) {
                    0 => {
                        let length = random.below(1600);
                        random.bytes(length)
                    }
                    _ => templates[random.below(templates.len())].clone(),
                };
                mutate(&mut frame, &mut random);
                if random.below(4) > 0 {
                    repair(&mut frame);
                }
                // Replies of the server, turned round, are frames to the server too.
                if random.below(2) == 0 && frame.len() > 12 {
                    frame[..6].copy_from_slice(&Wire::hardware(0));
                    frame[6..12].copy_from_slice(&Wire::hardware(1));
                }
                wire.inject(0, &frame);
            }
            clock::sleep_ms(1 + random.next() % 20).await;
            assert!(server.connections().total() <= 200);
            if round % 200 == 0 {
                drop(ask(&client).await);
            }
        }
        let counters = server.counters();
        for dropped in [
            counters.dropped_malformed,
            counters.dropped_checksum,
            counters.dropped_not_for_us,
            counters.dropped_bad_source,
            counters.dropped_fragment,
            counters.dropped_protocol,
            counters.dropped_datagram,
            counters.no_socket,
        ] {
            assert!(dropped > 0, "{counters:?}");
        }
        assert!(counters.frames_in > 100_000);
        drop(ask(&client).await);
        clock::sleep_ms(200_000).await;
        Pair::until_empty(server, client).await;
    });
}

/// Returns an ARP request that tells the server where the client is.
pub(super) fn introduction() -> Vec<u8> {
    let mut arp = Vec::new();
    arp.extend([0xff; 6]);
    arp.extend(Wire::hardware(1));
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(Wire::hardware(1));
    arp.extend(CLIENT.octets());
    arp.extend([0; 6]);
    arp.extend(SERVER.octets());
    arp
}

/// A peer that completes the handshake by hand and then sends segments with every kind of number.
#[test]
fn a_malicious_peer_within_a_connection_does_no_harm() {
    for buffers in [(4096, 8192), (70_000, 8192), (300_000, 200_000)] {
        let mut settings = config(SERVER);
        (settings.rx_buffer, settings.tx_buffer) = buffers;
        let world = super::World::default();
        let wire = Wire::new(Faults::default());
        let (server, mut runner) = crate::new(wire.end(0), settings).unwrap();
        world.spawn(async move { runner.run().await });
        let listener = server.bind_tcp(PORT).unwrap();
        let spawner = world.clone();
        world.spawn(async move {
            loop {
                let (_, mut socket) = listener.accept().await.unwrap();
                spawner.spawn(async move {
                    let _ = super::echo(&mut socket).await;
                });
            }
        });
        let stack = server.clone();
        world.run(async move {
            let mut random = Random(8);
            let mut established = 0;
            for port in 1000..1200 {
                let ports = (port, PORT);
                wire.inject(0, &introduction());
                let start = random.next() as u32;
                // A large window scale and segment size, or none at all.
                let mut syn = segment(CLIENT, ports, (start, 0), 2, &[2, 4, 5, 0xb4, 1, 3, 3, 14]);
                if random.below(2) == 0 {
                    syn[46] = 0x70;
                    repair(&mut syn);
                }
                wire.inject(0, &syn);
                clock::sleep_ms(1).await;
                let mut theirs = None;
                while let Some(frame) = wire.take(1) {
                    if frame.len() >= 54 && frame[12..14] == [8, 0] && frame[47] & 0x12 == 0x12 {
                        theirs = Some(u32::from_be_bytes([
                            frame[38], frame[39], frame[40], frame[41],
                        ]));
                    }
                }
                let Some(theirs) = theirs else { continue };
                established += 1;
                let (mut sequence, mut acknowledge) =
                    (start.wrapping_add(1), theirs.wrapping_add(1));
                wire.inject(
                    0,
                    &segment(CLIENT, ports, (sequence, acknowledge), 0x10, &[]),
                );
                // The far end of the window that the SYN|ACK seemed to promise, before any other.
                let far = sequence.wrapping_add(random.below(130_000) as u32);
                wire.inject(
                    0,
                    &segment(CLIENT, ports, (far, acknowledge), 0x10, &[9; 1400]),
                );
                for _ in 0..60 {
                    let near = |random: &mut Random, base: u32| match random.below(6) {
                        0 => random.next() as u32,
                        1 => base.wrapping_sub(random.below(3000) as u32),
                        2 => base.wrapping_add(random.below(200_000) as u32),
                        3 => base.wrapping_add(1 << 31),
                        _ => base.wrapping_add(random.below(4000) as u32),
                    };
                    // Now and then several segments that a device has put together.
                    let most = if random.below(8) == 0 { 40_000 } else { 1460 };
                    let length = random.below(most);
                    let data = random.bytes(length);
                    let numbers = (near(&mut random, sequence), near(&mut random, acknowledge));
                    let flags = [0x10, 0x18, 0x11, 0x12, 0x14, 0x10, 0x10][random.below(7)];
                    wire.inject(0, &segment(CLIENT, ports, numbers, flags, &data));
                    // In step, so that the connection gets somewhere.
                    wire.inject(
                        0,
                        &segment(CLIENT, ports, (sequence, acknowledge), 0x18, &data),
                    );
                    if random.below(3) == 0 {
                        clock::sleep_ms(random.next() % 600).await;
                    }
                    while let Some(frame) = wire.take(1) {
                        // Goes along with what the server says, mostly.
                        if frame.len() >= 54 && frame[12..14] == [8, 0] && random.below(4) > 0 {
                            let at = |at| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                            (sequence, acknowledge) =
                                (at(42), at(38).wrapping_add(frame.len() as u32 - 54));
                        }
                    }
                }
            }
            assert!(established > 150, "{established}");
            clock::sleep_ms(300_000).await;
            super::assert_empty(&stack);
        });
    }
}

/// Segments that a device has put together are one frame, longer than the link's. It is acknowledged at
/// once, as every second segment is to be.
#[test]
fn a_frame_of_many_segments_is_taken_whole_and_acknowledged_at_once() {
    let mut settings = config(SERVER);
    settings.rx_buffer = 65_535;
    let world = super::World::default();
    let wire = Wire::new(Faults::default());
    let (server, mut runner) = crate::new(wire.end(0), settings).unwrap();
    world.spawn(async move { runner.run().await });
    let listener = server.bind_tcp(PORT).unwrap();
    world.run(async move {
        wire.inject(0, &introduction());
        // Sequence and acknowledgement numbers of what the server answers within `wait` ms.
        let exchange = async |numbers, flags, data: &[u8], wait| {
            if flags != 0 {
                wire.inject(0, &segment(CLIENT, (777, PORT), numbers, flags, data));
            }
            clock::sleep_ms(wait).await;
            let mut answers = Vec::new();
            while let Some(frame) = wire.take(1) {
                let at = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                answers.extend((frame[12..14] == [8, 0]).then(|| (at(38), at(42))));
            }
            answers
        };
        let theirs = exchange((1000, 0), 2, &[], 2).await[0].0.wrapping_add(1);
        exchange((1001, theirs), 0x10, &[], 2).await;
        let (_, mut socket) = listener.accept().await.unwrap();
        let data: Vec<u8> = (0..30_000_u32).map(|it| (it / 3) as u8).collect();
        let answers = exchange((1001, theirs), 0x18, &data, 2).await;
        assert_eq!(answers, [(theirs, 31_001)]);
        assert_eq!(super::read_exactly(&mut socket, data.len()).await, data);
        exchange((0, 0), 0, &[], 100).await;
        // A single one waits for company.
        assert_eq!(exchange((31_001, theirs), 0x18, &[1; 1000], 2).await, []);
        assert_eq!(exchange((0, 0), 0, &[], 20).await, [(theirs, 32_001)]);
    });
}
