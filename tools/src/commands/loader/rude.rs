//! Clients that do what clients should not: half a request, nonsense, heads that are too long, connections that are reset in
//! the middle or left alone, answers that are not read. Nothing of it counts but whether the server still answers
//! somebody polite in between.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use super::{Budget, Connection, Load, Outcome, PATIENCE, Tally, in_threads};

/// How long a rude client keeps a connection busy, at most.
const MOMENT: Duration = Duration::from_millis(200);

pub(super) fn run(load: &Load) -> Outcome {
    in_threads(load, |budget: &Budget, tally: &mut Tally| {
        let mut turn = 0;
        let mut idle = Vec::new();
        while budget.take() {
            turn += 1;
            // What becomes of it is the server's business.
            let _whatever = misbehave(load, turn, &mut idle);
            if turn % 8 == 0 {
                let polite = Connection::open(load.address, "Connection: close\r\n");
                tally.count(polite.and_then(|mut connection| connection.ask()));
            }
        }
    })
}

/// Is rude in one of several ways. Connections that are left alone are in `idle`, some dozens of them.
fn misbehave(load: &Load, turn: usize, idle: &mut Vec<TcpStream>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&load.address, PATIENCE)?;
    stream.set_read_timeout(Some(MOMENT))?;
    stream.set_write_timeout(Some(MOMENT))?;
    match turn % 7 {
        0 => stream.write_all(b"GET / HTTP/1.1\r\nHos")?,
        1 => stream.write_all(&[0x80; 3000])?,
        2 => stream.write_all(&vec![b'a'; 20_000])?,
        3 => {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
            reset(&stream)?;
        }
        4 => {
            stream.write_all(
                b"POST /api/scores HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{",
            )?;
            let _length = stream.read(&mut [0; 500])?;
        }
        5 => {
            // Asks for much and reads little.
            for _ in 0..50 {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
            }
            let _length = stream.read(&mut [0; 100])?;
            reset(&stream)?;
        }
        _ => {
            if idle.len() >= 64 {
                idle.clear();
            }
            idle.push(stream);
        }
    }
    Ok(())
}

/// The connection ends with a reset when it is dropped.
fn reset(stream: &TcpStream) -> std::io::Result<()> {
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    Ok(setsockopt(stream, sockopt::Linger, &at_once)?)
}
