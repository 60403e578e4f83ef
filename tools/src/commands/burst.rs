//! `cargo landfall burst ADDRESS COUNT` (hidden): opens many connections at once and counts how they end.
//!
//! The bench runs it inside its network namespace. It prints one JSON object.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How long the guest may take for each step.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens many connections at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The server
    address: SocketAddr,
    /// How many
    count: usize,
}

/// How connections ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Burst {
    /// With an HTTP answer.
    pub(crate) served: u32,
    /// The server refused them.
    pub(crate) refused: u32,
    /// The server accepted and then broke them.
    pub(crate) reset: u32,
    /// The server was silent.
    pub(crate) timed_out: u32,
    /// In another way.
    pub(crate) other: u32,
}

impl Burst {
    fn add(&mut self, outcome: &std::io::Result<TcpStream>) {
        let counter = match outcome {
            Ok(_) => &mut self.served,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => &mut self.refused,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                    &mut self.reset
                }
                ErrorKind::TimedOut | ErrorKind::WouldBlock => &mut self.timed_out,
                _ => &mut self.other,
            },
        };
        *counter += 1;
    }
}

/// Opens and counts.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let burst = burst(arguments.address, arguments.count);
    println!("{}", serde_json::to_string(&burst)?);
    Ok(ExitCode::SUCCESS)
}

fn burst(address: SocketAddr, count: usize) -> Burst {
    let together = Arc::new(Barrier::new(count));
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let together = Arc::clone(&together);
            std::thread::spawn(move || {
                together.wait();
                client(address)
            })
        })
        .collect();
    // Served connections stay open until all have ended: so they are open at once.
    let outcomes: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
    let mut burst = Burst::default();
    for outcome in &outcomes {
        match outcome {
            Ok(outcome) => burst.add(outcome),
            Err(_panic) => burst.other += 1,
        }
    }
    burst
}

fn client(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    if start.starts_with(b"HTTP/1.1 200") {
        Ok(stream)
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn served_connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let mut streams = Vec::new();
            for number in 0..4 {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = [0; 256];
                let _length = stream.read(&mut request).expect("a request");
                let status = if number == 3 { "503 Busy" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\n\r\n");
                stream
                    .write_all(answer.as_bytes())
                    .expect("the client reads");
                streams.push(stream);
            }
        });
        let expected = Burst {
            served: 3,
            other: 1,
            ..Burst::default()
        };
        assert_eq!(burst(address, 4), expected);
        server.join().expect("the server ends");
    }

    #[test]
    fn refused_connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        assert_eq!(
            burst(address, 2),
            Burst {
                refused: 2,
                ..Burst::default()
            }
        );
    }
}
