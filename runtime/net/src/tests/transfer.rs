//! Bytes arrive as they were sent: in bursts of connections, over bad wires, with a full device.

use std::cell::Cell;
use std::println;
use std::rc::Rc;
use std::vec::Vec;

use edge_nal::{Close, TcpShutdown, TcpSplit};
use embedded_io_async::{Read, Write};

use super::wire::Faults;
use super::{CLIENT, PORT, Pair, Random, SERVER, ask, clock, config, join, server_address};
use crate::Error;

#[test]
fn a_burst_of_connections_is_served() {
    let mut few = config(CLIENT);
    few.max_time_wait = 128;
    let pair = Pair::with(Faults::default(), config(SERVER), few);
    pair.serve_echo();
    let done = Rc::new(Cell::new(0));
    for _ in 0..256 {
        let (client, done) = (pair.client.clone(), done.clone());
        pair.world.spawn(async move {
            let _socket = ask(&client).await;
            done.set(done.get() + 1);
        });
    }
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        while done.get() < 256 {
            clock::sleep_ms(10).await;
        }
        let counters = server.counters();
        assert_eq!(counters.accepted, 256);
        assert_eq!(counters.no_socket + counters.resets, 0);
        assert!(client.connections().time_wait <= 128);
        Pair::until_empty(server, client).await;
    });
}

/// What a card cuts by itself goes as few frames, over a wire with faults, too.
#[test]
fn a_card_that_cuts_segments_gets_large_frames() {
    for loss in [0, 20] {
        let faults = |segments| Faults {
            loss,
            segments,
            ..Faults::default()
        };
        let frames = [true, false].map(|segments| {
            let mut settings = [SERVER, CLIENT].map(config);
            for side in &mut settings {
                (side.rx_buffer, side.tx_buffer) = (200_000, 200_000);
            }
            let [server, client] = settings;
            let pair = Pair::with(faults(segments), server, client);
            let (server, client) = (pair.server.clone(), pair.client.clone());
            pair.world.run(async move {
                let data: Vec<u8> = (0..500_000_u32)
                    .map(|at| (at * 7 + at / 255) as u8)
                    .collect();
                let listener = server.bind_tcp(PORT).unwrap();
                let mut sender = client.connect_tcp(server_address()).await.unwrap();
                let (_, mut receiver) = listener.accept().await.unwrap();
                let sent = data.clone();
                let send = async move {
                    sender.write_all(&sent).await.unwrap();
                    sender.close(Close::Write).await.unwrap();
                    sender
                };
                let receive = async move {
                    let mut received = Vec::new();
                    let mut part = [0; 4000];
                    loop {
                        match receiver.read(&mut part).await.unwrap() {
                            0 => return received,
                            count => received.extend_from_slice(&part[..count]),
                        }
                    }
                };
                let (_sender, received) = join(send, receive).await;
                assert!(received == data, "the bytes differ");
                let counters = client.counters();
                let again = [counters.retransmits_timeout, counters.retransmits_recovery];
                assert_eq!(again.map(|it| it > 0), [loss > 0; 2], "{again:?}");
                counters.frames_out
            })
        });
        println!("{loss} per mille lost: {frames:?} frames");
        assert!(frames[0] * 3 < frames[1], "{frames:?}");
    }
}

#[test]
fn connections_beyond_the_backlog_wait_and_are_served() {
    let mut small = config(SERVER);
    small.backlog = 8;
    let pair = Pair::with(Faults::default(), small, config(CLIENT));
    pair.serve_echo();
    let done = Rc::new(Cell::new(0));
    for _ in 0..24 {
        let (client, done) = (pair.client.clone(), done.clone());
        pair.world.spawn(async move {
            let _socket = ask(&client).await;
            done.set(done.get() + 1);
        });
    }
    let server = pair.server.clone();
    pair.world.run(async move {
        while done.get() < 24 {
            clock::sleep_ms(10).await;
        }
        assert!(server.counters().dropped_backlog > 0);
        assert_eq!(server.counters().half_open_evicted, 0);
    });
}

/// From so many lost frames of a thousand on a peer has to be borne with for longer than it is by default: smoltcp doubles the
/// time that it waits for an acknowledgement at each loss, up to a minute, and takes that back only when a segment is
/// acknowledged that was sent once (RFC 6298, 5.7), not already when others are.
const MUCH_LOSS: usize = 200;
const PATIENCE_MS: u64 = 300_000;

/// Sends `total` bytes each way at the same time and compares them. Returns the seconds that the bytes took, and checks that
/// each corrupted frame was counted.
pub(super) fn transfer(faults: Faults, total: usize, buffers: (usize, usize)) -> f64 {
    let mut settings = (config(SERVER), config(CLIENT));
    for side in [&mut settings.0, &mut settings.1] {
        (side.rx_buffer, side.tx_buffer) = buffers;
        if faults.loss >= MUCH_LOSS {
            side.user_timeout_ms = PATIENCE_MS;
        }
    }
    let pair = Pair::with(faults, settings.0, settings.1);
    pair.serve_echo();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    let (world, wire) = (pair.world.clone(), pair.wire.clone());
    pair.world.run(async move {
        let start = clock::now();
        let socket = client.connect_tcp(server_address()).await.unwrap();
        let socket = Rc::new(core::cell::RefCell::new(Some(socket)));
        let place = socket.clone();
        let done = Rc::new(Cell::new(false));
        let told = done.clone();
        // Reads in one task and writes in another, through the two halves.
        world.spawn(async move {
            let mut socket = place.borrow_mut().take().unwrap();
            let data = Random(5).bytes(total);
            let (mut reader, mut writer) = socket.split();
            let write = async {
                for part in data.chunks(3000) {
                    writer.write_all(part).await.unwrap();
                }
            };
            let read = async {
                let mut received = Vec::new();
                let mut part = [0; 2000];
                while received.len() < total {
                    let length = reader.read(&mut part).await.unwrap();
                    assert_ne!(length, 0);
                    received.extend_from_slice(&part[..length]);
                }
                received
            };
            let ((), received) = super::join(write, read).await;
            assert!(received == data, "the bytes differ");
            socket.close(Close::Write).await.unwrap();
            assert_eq!(socket.read(&mut [0; 10]).await, Ok(0));
            told.set(true);
        });
        while !done.get() {
            clock::sleep_ms(10).await;
        }
        let took = clock::now() - start;
        Pair::until_empty(server.clone(), client.clone()).await;
        // What is still on its way has arrived by then.
        let dropped = [server, client].map(|stack| super::faults::dropped(&stack));
        assert_eq!(dropped.iter().sum::<u64>(), wire.corrupted());
        took.total_millis() as f64 / 1000.0
    })
}

#[test]
fn bytes_arrive_over_a_good_wire() {
    transfer(Faults::default(), 1_000_000, (4096, 8192));
}

#[test]
fn bytes_arrive_with_large_windows() {
    transfer(Faults::default(), 4_000_000, (300_000, 200_000));
    transfer(
        Faults {
            loss: 5,
            ..Faults::default()
        },
        1_000_000,
        (300_000, 200_000),
    );
}

#[test]
fn bytes_arrive_with_loss() {
    transfer(
        Faults {
            loss: 50,
            ..Faults::default()
        },
        200_000,
        (4096, 8192),
    );
    transfer(
        Faults {
            loss: 200,
            ..Faults::default()
        },
        20_000,
        (4096, 8192),
    );
}

#[test]
fn bytes_arrive_over_a_wire_with_all_faults() {
    let faults = Faults {
        loss: 20,
        duplicate: 20,
        reorder: 50,
        corrupt: 20,
        ..Faults::default()
    };
    transfer(faults, 200_000, (4096, 8192));
    transfer(faults, 200_000, (65_535, 65_535));
}

#[test]
fn bytes_arrive_through_a_device_with_little_room() {
    transfer(
        Faults {
            capacity: 2,
            ..Faults::default()
        },
        500_000,
        (16_384, 16_384),
    );
}

#[test]
fn datagrams_are_echoed() {
    let pair = Pair::new(Faults::default());
    let echo = pair.server.bind_udp(7).unwrap();
    assert_eq!(pair.server.bind_udp(7).err(), Some(Error::PortInUse(7)));
    pair.world.spawn(async move {
        let mut data = [0; 1500];
        loop {
            let (length, from) = echo.receive_from(&mut data).await.unwrap();
            echo.send_to(&data[..length], from).await.unwrap();
        }
    });
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let socket = client.bind_udp(0).unwrap();
        for length in [0, 1, 700, 1472] {
            let sent = Random(length as u64).bytes(length);
            socket.send_to(&sent, (SERVER, 7).into()).await.unwrap();
            let mut data = [0; 1500];
            let (got, from) = socket.receive_from(&mut data).await.unwrap();
            assert_eq!((&data[..got], from), (&sent[..], (SERVER, 7).into()));
        }
        let long = socket.send_to(&[0; 1473], (SERVER, 7).into()).await;
        assert_eq!(long, Err(Error::DatagramTooLong(1472)));
        let off = socket.send_to(b"x", ([192, 0, 2, 1], 7).into()).await;
        assert!(matches!(off, Err(Error::InvalidAddress(_))));
        // One that nobody takes, and one for a neighbour who is not there: neither holds up others.
        socket.send_to(b"x", (SERVER, 9).into()).await.unwrap();
        socket
            .send_to(b"x", ([10, 1, 9, 9], 7).into())
            .await
            .unwrap();
        clock::sleep_ms(8000).await;
        socket.send_to(b"again", (SERVER, 7).into()).await.unwrap();
        assert_eq!(
            socket.receive_from(&mut [0; 9]).await,
            Ok((5, (SERVER, 7).into()))
        );
        assert_eq!(server.counters().no_socket, 1);
    });
}

#[test]
fn ten_thousand_idle_connections_do_not_slow_a_busy_one() {
    let mut settings = (config(SERVER), config(CLIENT));
    for side in [&mut settings.0, &mut settings.1] {
        (side.rx_buffer, side.tx_buffer) = (1024, 1024);
        side.backlog = 20_000;
    }
    let pair = Pair::with(Faults::default(), settings.0, settings.1);
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut held = Vec::new();
        for _ in 0..10_000 {
            held.push(client.connect_tcp(server_address()).await.unwrap());
            held.push(listener.accept().await.unwrap().1);
        }
        assert_eq!(server.connections().open, 10_000);
        let frames = server.counters().frames_in;
        let mut theirs = held.pop().unwrap();
        let mut ours = held.pop().unwrap();
        let rounds = 2000;
        for _ in 0..rounds {
            ours.write_all(b"question").await.unwrap();
            theirs.read_exact(&mut [0; 8]).await.unwrap();
            theirs.write_all(b"answer").await.unwrap();
            ours.read_exact(&mut [0; 6]).await.unwrap();
        }
        // One frame for each question: acknowledgements travel with the answers.
        assert!(server.counters().frames_in - frames <= rounds + 10);
    });
}
