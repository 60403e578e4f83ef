//! Connections that are served once and then stay open.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Connection, Outcome, Tally};

/// Opens `count` connections, one after the other, and prints how many were served. When the standard input ends,
/// prints how many of those are still open, and ends.
pub(super) fn run(address: SocketAddr, count: usize) -> Result<()> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let connections: Vec<Connection> = (0..count)
        .filter_map(|_| {
            let opened = Connection::open(address, "").and_then(|mut connection| {
                connection.ask()?;
                Ok(connection)
            });
            tally.count(opened)
        })
        .collect();
    say(&tally.outcome(began.elapsed()))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let mut tally = Tally::default();
    for connection in connections {
        tally.count(still_open(&connection));
    }
    say(&tally.outcome(began.elapsed()))
}

/// Prints on a line of its own, at once.
fn say(outcome: &Outcome) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(outcome)?)?;
    stdout.flush().context("nobody reads the outcome")
}

/// Nothing has come on a connection that is still open, not even its end.
fn still_open(connection: &Connection) -> std::io::Result<()> {
    connection.stream.set_nonblocking(true)?;
    match connection.stream.peek(&mut [0; 1]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => Err(ErrorKind::InvalidData.into()),
    }
}
