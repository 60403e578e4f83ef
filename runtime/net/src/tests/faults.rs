//! A wire that loses, repeats, reorders, delays and corrupts, all at once: bytes arrive whole all the same, in a time that
//! can be told, and nothing is left behind.

use std::cell::Cell;
use std::println;
use std::rc::Rc;

use edge_nal::{Close, TcpShutdown};
use embedded_io_async::{Read, Write};

use super::transfer::transfer;
use super::wire::Faults;
use super::{CLIENT, Pair, SERVER, clock, config, server_address};
use crate::{Error, Stack};

/// Returns how many frames a stack dropped because of what was in them.
pub(super) fn dropped(stack: &Stack) -> u64 {
    let counters = stack.counters();
    counters.dropped_malformed
        + counters.dropped_checksum
        + counters.dropped_not_for_us
        + counters.dropped_bad_source
        + counters.dropped_fragment
        + counters.dropped_protocol
}

/// A wire of all faults, with so many frames of a thousand lost. One in a hundred is corrupted, which is a loss, too.
fn faulty(loss: usize, seed: u64) -> Faults {
    Faults {
        loss,
        duplicate: 10,
        reorder: 30,
        corrupt: 10,
        delay_us: 500,
        seed,
        capacity: 0,
        // Cards of one host cut segments, those of another do not.
        segments: seed.is_multiple_of(2),
    }
}

/// The second number is of seconds in which a megabyte each way arrives with ease.
const LOSSES: [(usize, f64); 5] = [(0, 3.0), (10, 5.0), (50, 15.0), (100, 40.0), (200, 180.0)];

#[test]
fn a_megabyte_each_way_arrives_at_any_loss() {
    for (loss, limit_s) in LOSSES {
        for buffer in [8192, 65_535] {
            for seed in 1..=3 {
                let seconds = transfer(faulty(loss, seed), 1_000_000, (buffer, buffer));
                println!("{loss} per mille lost, buffers of {buffer}, seed {seed}: {seconds} s");
                assert!(seconds < limit_s);
            }
        }
    }
}

/// Both sides send again from further back than the other is, and neither may be deaf to the other's acknowledgements.
#[test]
fn both_sides_send_again_at_once() {
    for (loss, seed) in [(50, 1), (200, 2)] {
        transfer(faulty(loss, seed), 1_000_000, (65_535, 65_535));
    }
}

#[test]
fn connections_open_and_close_at_much_loss() {
    const CLIENTS: u32 = 200;
    let mut settings = (config(SERVER), config(CLIENT));
    for side in [&mut settings.0, &mut settings.1] {
        // By default there are ten seconds for a handshake, and for the last bytes: not enough when the fourth
        // transmission is lost, too.
        side.half_open_timeout_ms = 120_000;
        side.orphan_timeout_ms = 120_000;
        side.user_timeout_ms = 120_000;
    }
    let pair = Pair::with(faulty(200, 7), settings.0, settings.1);
    pair.serve_echo();
    let (done, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for number in 0..CLIENTS {
        let (client, done, failed) = (pair.client.clone(), done.clone(), failed.clone());
        pair.world.spawn(async move {
            clock::sleep_ms(u64::from(number) * 50).await;
            // At this loss one attempt in a few hundred fails: the last bytes, too, are sent only so often.
            while let Err(error) = one(&client).await {
                assert!(matches!(error, Error::TimedOut | Error::ConnectionReset));
                failed.set(failed.get() + 1);
            }
            done.set(done.get() + 1);
        });
    }
    let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
    pair.world.run(async move {
        let start = clock::now();
        while done.get() < CLIENTS {
            clock::sleep_ms(10).await;
        }
        let took = clock::now() - start;
        println!("{CLIENTS} connections: {} ms", took.total_millis());
        assert!(failed.get() < CLIENTS / 20);
        clock::sleep_ms(240_000).await;
        Pair::until_empty(server.clone(), client.clone()).await;
        assert_eq!(dropped(&server) + dropped(&client), wire.corrupted());
        assert!(wire.corrupted() > 0);
    });
}

/// A connection from its beginning to its end.
async fn one(client: &Stack) -> Result<(), Error> {
    let mut socket = client.connect_tcp(server_address()).await?;
    socket.write_all(&[5; 3000]).await?;
    socket.close(Close::Write).await?;
    let mut received = 0;
    let mut data = [0; 1000];
    loop {
        let length = socket.read(&mut data).await?;
        if length == 0 {
            break;
        }
        assert!(data[..length].iter().all(|byte| *byte == 5));
        received += length;
    }
    assert_eq!(received, 3000);
    Ok(())
}
