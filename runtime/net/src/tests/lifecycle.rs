//! How connections begin and end: refused, half-closed, reset, abandoned, forgotten.

use core::net::Ipv4Addr;
use std::cell::Cell;
use std::rc::Rc;
use std::thread_local;
use std::vec::Vec;

use edge_nal::{Close, Readable, TcpShutdown};
use embedded_io_async::{Read, Write};

use super::wire::{Faults, Wire};
use super::{
    CLIENT, PORT, Pair, SERVER, World, ask, assert_empty, clock, config, read_exactly,
    server_address,
};
use crate::config::Buffers;
use crate::{AddressConfig, Config, Error};

#[test]
fn half_closed_connections_still_carry_data() {
    let pair = Pair::new(Faults::default());
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.spawn(async move {
        let (_, mut socket) = listener.accept().await.unwrap();
        // The whole request first, up to the FIN, then the answer.
        assert_eq!(read_exactly(&mut socket, 7).await, b"request");
        assert_eq!(socket.read(&mut [0; 8]).await, Ok(0));
        clock::sleep_ms(500).await;
        socket.write_all(b"answer").await.unwrap();
        socket.close(Close::Write).await.unwrap();
        assert_eq!(socket.write(b"more").await, Err(Error::Closed));
        drop(socket);
        core::future::pending::<()>().await;
    });
    pair.world.run(async move {
        let mut socket = client.connect_tcp(server_address()).await.unwrap();
        assert_eq!(socket.remote_address(), server_address());
        assert_eq!(socket.local_address().ip(), CLIENT);
        socket.write_all(b"request").await.unwrap();
        socket.close(Close::Write).await.unwrap();
        socket.readable().await.unwrap();
        assert_eq!(read_exactly(&mut socket, 6).await, b"answer");
        assert_eq!(socket.read(&mut [0; 8]).await, Ok(0));
        drop(socket);
        Pair::until_empty(server, client).await;
    });
}

#[test]
fn a_reset_is_an_error_and_frees_the_connection() {
    let pair = Pair::new(Faults::default());
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut ours = client.connect_tcp(server_address()).await.unwrap();
        let (_, mut theirs) = listener.accept().await.unwrap();
        theirs.abort().await.unwrap();
        assert_eq!(
            theirs.read(&mut [0; 8]).await,
            Err(Error::ConnectionAborted)
        );
        assert_eq!(ours.read(&mut [0; 8]).await, Err(Error::ConnectionReset));
        assert_eq!(ours.write(b"x").await, Err(Error::ConnectionReset));
        assert_eq!(ours.flush().await, Err(Error::ConnectionReset));
        drop((ours, theirs));
        clock::sleep_ms(10).await;
        assert_empty(&server);
        assert_empty(&client);
        assert_eq!(client.counters().resets, 1);
    });
}

#[test]
fn refused_and_unanswered_attempts_fail() {
    let pair = Pair::new(Faults::default());
    let client = pair.client.clone();
    pair.world.run(async move {
        let refused = client.connect_tcp((SERVER, 81).into()).await;
        assert_eq!(refused.err(), Some(Error::ConnectionRefused));
        let before = clock::now();
        let nobody = client
            .connect_tcp((Ipv4Addr::new(10, 1, 0, 9), 80).into())
            .await;
        assert_eq!(nobody.err(), Some(Error::TimedOut));
        assert_eq!((clock::now() - before).secs(), 20);
        for address in [
            [0, 0, 0, 0],
            [127, 0, 0, 1],
            [10, 1, 255, 255],
            [10, 1, 0, 2],
            [8, 8, 8, 8],
        ] {
            let wrong = client.connect_tcp((address, 80).into()).await;
            assert!(
                matches!(wrong, Err(Error::InvalidAddress(_))),
                "{address:?}"
            );
        }
        clock::sleep_ms(11_000).await;
        assert_empty(&client);
    });
}

#[test]
fn a_dropped_socket_still_delivers_and_drains() {
    let pair = Pair::new(Faults {
        loss: 50,
        ..Faults::default()
    });
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.spawn(async move {
        loop {
            let (_, mut socket) = listener.accept().await.unwrap();
            // Answers and leaves, with most of what the client sends unread.
            socket.write_all(&[7; 8000]).await.unwrap();
        }
    });
    pair.world.run(async move {
        let mut socket = client.connect_tcp(server_address()).await.unwrap();
        socket.write_all(&[1; 30_000]).await.unwrap();
        assert_eq!(read_exactly(&mut socket, 8000).await, [7; 8000]);
        assert_eq!(socket.read(&mut [0; 8]).await, Ok(0));
        drop(socket);
        Pair::until_empty(server, client).await;
    });
}

#[test]
fn orphans_whose_peer_goes_on_are_aborted() {
    let pair = Pair::new(Faults::default());
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut idle = client.connect_tcp(server_address()).await.unwrap();
        let mut busy = client.connect_tcp(server_address()).await.unwrap();
        drop(listener.accept().await.unwrap());
        drop(listener.accept().await.unwrap());
        clock::sleep_ms(100).await;
        assert_eq!(server.connections().orphaned, 2);
        // One peer sends without end and is told soon.
        let mut result = Ok(());
        for _ in 0..1000 {
            result = busy.write_all(&[0; 1000]).await;
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result, Err(Error::ConnectionReset));
        // The other never closes and is told after ten seconds.
        assert_eq!(idle.read(&mut [0; 8]).await, Ok(0));
        clock::sleep_ms(12_000).await;
        assert_eq!(server.counters().orphans_aborted, 2);
        assert_eq!(idle.write(b"x").await, Err(Error::ConnectionReset));
        drop((idle, busy));
        Pair::until_empty(server, client).await;
    });
}

#[test]
fn a_peer_that_vanishes_is_noticed() {
    let pair = Pair::new(Faults::default());
    pair.serve_echo();
    let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
    pair.world.run(async move {
        let mut idle = ask(&client).await;
        let mut busy = ask(&client).await;
        // Idle for ten minutes is fine as long as the peer is there.
        clock::sleep_ms(600_000).await;
        assert_eq!(server.connections().open, 2);
        wire.cut(true);
        let start = clock::now();
        busy.write_all(b"anyone there?").await.unwrap();
        assert_eq!(busy.read(&mut [0; 8]).await, Err(Error::TimedOut));
        let seconds = (clock::now() - start).secs();
        assert!((100..=101).contains(&seconds), "{seconds}");
        assert_eq!(idle.read(&mut [0; 8]).await, Err(Error::TimedOut));
        let seconds = (clock::now() - start).secs();
        assert!((75..=136).contains(&seconds), "{seconds}");
        // Twice as long after each; asking for a sign of life sends nothing again.
        let counters = client.counters();
        let again = (counters.retransmits_timeout, counters.retransmits_recovery);
        assert_eq!(again, (8, 0));
        drop((idle, busy));
        clock::sleep_ms(150_000).await;
        Pair::until_empty(server, client).await;
    });
}

#[test]
fn dropping_a_listener_resets_what_was_not_accepted() {
    let pair = Pair::new(Faults::default());
    let listener = pair.server.bind_tcp(PORT).unwrap();
    assert_eq!(
        pair.server.bind_tcp(PORT).err(),
        Some(Error::PortInUse(PORT))
    );
    assert_eq!(pair.server.bind_tcp(0).err(), Some(Error::InvalidPort));
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut socket = client.connect_tcp(server_address()).await.unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(server.connections().unaccepted, 1);
        drop(listener);
        assert_eq!(socket.read(&mut [0; 8]).await, Err(Error::ConnectionReset));
        drop(socket);
        clock::sleep_ms(10).await;
        assert_empty(&server);
        drop(server.bind_tcp(PORT).unwrap());
    });
}

#[test]
fn a_connection_is_not_lost_when_the_task_that_it_woke_is_gone() {
    let pair = Pair::new(Faults::default());
    let listener = Rc::new(pair.server.bind_tcp(PORT).unwrap());
    let (client, world) = (pair.client.clone(), pair.world.clone());
    let accepted = Rc::new(Cell::new(0));
    pair.world.run(async move {
        // The first in the queue of waiting tasks gives up at the moment a connection arrives.
        let mut first = std::boxed::Box::pin(listener.accept());
        core::future::poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending());
            core::task::Poll::Ready(())
        })
        .await;
        let (second, count) = (listener.clone(), accepted.clone());
        world.spawn(async move {
            second.accept().await.unwrap();
            count.set(count.get() + 1);
        });
        clock::sleep_ms(1).await;
        let _socket = client.connect_tcp(server_address()).await.unwrap();
        clock::sleep_ms(1).await;
        drop(first);
        clock::sleep_ms(1).await;
        assert_eq!(accepted.get(), 1);
    });
}

thread_local! {
    static FREE: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn short_memory_keeps_new_connections_waiting_and_old_ones_going() {
    let mut settings = config(SERVER);
    settings.free_memory = Some(|| FREE.get());
    settings.memory_reserve = 100_000;
    FREE.set(1_000_000);
    let pair = Pair::with(Faults::default(), settings, config(CLIENT));
    pair.serve_echo();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut old = ask(&client).await;
        FREE.set(110_000);
        let world_client = client.clone();
        let new = async move { ask(&world_client).await };
        let relief = async {
            clock::sleep_ms(2000).await;
            old.write_all(b"still here").await.unwrap();
            assert_eq!(read_exactly(&mut old, 10).await, b"still here");
            assert_eq!(server.connections().total(), 1);
            FREE.set(1_000_000);
        };
        let (_new, ()) = super::join(new, relief).await;
        assert!(server.counters().dropped_memory >= 1);
        assert_eq!(server.counters().no_socket, 0);
    });
}

#[test]
fn a_stack_that_shuts_down_refuses_the_new_and_keeps_the_old() {
    let pair = Pair::new(Faults::default());
    let told = Rc::new(Cell::new(false));
    pair.world.spawn({
        let (server, world) = (pair.server.clone(), pair.world.clone());
        let told = told.clone();
        async move {
            let listener = server.bind_tcp(PORT).unwrap();
            let (_, mut socket) = listener.accept().await.unwrap();
            world.spawn(async move {
                let _ = super::echo(&mut socket).await;
            });
            // The second accept waits while the stack is told.
            let error = listener.accept().await.err();
            assert_eq!(error, Some(Error::ShuttingDown));
            assert_eq!(listener.accept().await.err(), error);
            told.set(true);
            core::future::pending::<()>().await;
        }
    });
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut old = ask(&client).await;
        server.shut_down();
        clock::sleep_ms(1).await;
        assert!(told.get());
        let new = client.connect_tcp(server_address()).await;
        assert_eq!(new.err(), Some(Error::ConnectionRefused));
        old.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut old, 10).await, b"still here");
        drop(old);
        Pair::until_empty(server, client).await;
    });
}

#[test]
fn connections_that_nobody_has_accepted_are_reset_by_a_shutdown() {
    let pair = Pair::new(Faults::default());
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let mut socket = client.connect_tcp(server_address()).await.unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(server.connections().unaccepted, 1);
        server.shut_down();
        assert_eq!(listener.accept().await.err(), Some(Error::ShuttingDown));
        assert_eq!(socket.read(&mut [0; 8]).await, Err(Error::ConnectionReset));
        drop((socket, listener));
        clock::sleep_ms(10).await;
        assert_empty(&server);
    });
}

#[test]
fn a_stack_reaches_its_network_and_what_its_gateway_leads_to() {
    let wire = super::wire::Wire::new(Faults::default());
    let reaches = |address, peer: [u8; 4]| {
        let (stack, _runner) = crate::new(wire.end(0), Config::new(address, 1)).unwrap();
        stack.reaches((Ipv4Addr::from(peer), 80).into())
    };
    let address = |gateway| AddressConfig::Static {
        address: SERVER,
        prefix: 16,
        gateway,
    };
    let (lone, routed) = (address(None), address(Some(CLIENT)));
    assert!(reaches(lone, CLIENT.octets()) && !reaches(lone, [8, 8, 8, 8]));
    assert!(reaches(routed, [8, 8, 8, 8]) && !reaches(routed, SERVER.octets()));
    assert!(!reaches(routed, [127, 0, 0, 1]));
    assert!(
        !reaches(AddressConfig::Dhcp, CLIENT.octets()),
        "no address yet"
    );
}

#[test]
fn unusable_configurations_are_refused() {
    let wire = super::wire::Wire::new(Faults::default());
    for (address, prefix) in [([0, 0, 0, 0], 8), ([224, 0, 0, 1], 8), ([10, 0, 0, 1], 33)] {
        let address = AddressConfig::Static {
            address: address.into(),
            prefix,
            gateway: None,
        };
        let result = crate::new(wire.end(0), Config::new(address, 1));
        assert_eq!(result.err(), Some(Error::InvalidConfiguration));
    }
}

#[test]
fn windows_are_large_while_memory_is_plentiful() {
    let config = config(SERVER);
    let buffers = |plentiful| {
        let Buffers { receive, send } = config.buffers(plentiful);
        (receive, send)
    };
    let least = (config.rx_buffer as u32, config.tx_buffer as u32);
    assert_eq!(buffers(0), least);
    assert_eq!(buffers(8 * 2 * 6000), (6000, least.1));
    assert_eq!(buffers(8 * 2 * 20_000), (20_000, 20_000));
    assert_eq!(buffers(usize::MAX), (1 << 20, 1 << 20));
}

#[test]
fn connections_hold_memory_for_bytes_on_their_way_only() {
    let mut settings = config(SERVER);
    settings.free_memory = Some(|| FREE.get());
    FREE.set(1 << 30);
    let pair = Pair::with(Faults::default(), settings, config(CLIENT));
    pair.serve_echo();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.run(async move {
        let spare = || server.with(|inner| inner.pool.spare_bytes());
        let mut all = Vec::new();
        for round in 0..40 {
            let mut socket = ask(&client).await;
            socket.write_all(&[round; 5000]).await.unwrap();
            assert_eq!(read_exactly(&mut socket, 5000).await, [round; 5000]);
            all.push(socket);
        }
        // What one has given back serves the next.
        assert!(spare() <= 8 * landfall_tcp::CHUNK, "{}", spare());
        let shortage = server.with(|inner| {
            FREE.set(1000);
            let id = inner.flows.names().next().unwrap();
            let flow = inner.connections.get(id).unwrap().flow;
            inner.room_for_one(flow, clock::now()).err()
        });
        assert_eq!((shortage, spare()), (Some(Error::OutOfMemory), 0));
    });
}

/// Who writes while there is no memory waits and goes on when there is.
#[test]
fn writing_waits_for_memory() {
    let mut settings = config(SERVER);
    settings.free_memory = Some(|| FREE.get());
    FREE.set(1 << 30);
    let pair = Pair::with(Faults::default(), settings, config(CLIENT));
    let listener = pair.server.bind_tcp(PORT).unwrap();
    let (server, client) = (pair.server.clone(), pair.client.clone());
    pair.world.spawn(async move {
        let (_, mut socket) = listener.accept().await.unwrap();
        clock::sleep_ms(1000).await;
        socket.write_all(&[7; 100_000]).await.unwrap();
        core::future::pending::<()>().await;
    });
    pair.world.run(async move {
        let mut socket = client.connect_tcp(server_address()).await.unwrap();
        server.with(|inner| inner.pool.give_back());
        FREE.set(1000);
        clock::sleep_ms(3000).await;
        FREE.set(1 << 30);
        assert_eq!(read_exactly(&mut socket, 100_000).await, [7; 100_000]);
    });
}

/// A switch learns where a host is by what it sends, and neighbours drop what they knew.
#[test]
fn the_network_is_told_of_an_address_when_it_or_the_link_is_new() {
    let wire = Wire::new(Faults::default());
    let world = World::default();
    wire.record();
    let (stack, mut runner) = crate::new(wire.end(0), config(SERVER)).unwrap();
    world.spawn(async move { runner.run().await });
    let announcements = move |wire: &Wire| {
        let sent = wire.recorded();
        wire.record();
        let own = |frame: &&Vec<u8>| {
            frame[..6] == [0xff; 6]
                && frame[6..12] == stack.hardware_address()
                && frame[12..14] == [8, 6]
                && frame[20..22] == [0, 1]
                && frame[28..32] == SERVER.octets()
                && frame[38..42] == SERVER.octets()
        };
        (sent.iter().filter(own).count(), sent.len())
    };
    world.run(async move {
        clock::sleep_ms(100).await;
        assert_eq!(announcements(&wire), (1, 1), "at the start");
        clock::sleep_ms(10_000).await;
        assert_eq!(announcements(&wire), (0, 0), "once is enough");
        wire.set_link(false);
        clock::sleep_ms(100).await;
        assert_eq!(announcements(&wire), (0, 0), "nobody would hear it");
        wire.set_link(true);
        clock::sleep_ms(100).await;
        assert_eq!(announcements(&wire), (1, 1), "the link is new");
    });
}
