//! `cargo landfall loader …` (hidden): clients that no usual load generator is.
//!
//! The bench and `soak` run them inside their network namespaces. Each prints JSON.

mod close;
mod echo;
mod fetch;
mod hold;
mod keep;
mod rude;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// How long a server may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a server again and again, in one of several ways.
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Opens a connection for each request and closes it
    Close(Load),
    /// Sends datagrams that are to come back; --clients are in flight at once
    Echo(Load),
    /// Asks again and again on each connection
    Keep(Load),
    /// Misbehaves in many ways, and asks politely now and then
    Rude(Load),
    /// Asks once, and prints the answer's body
    Fetch {
        /// The server
        address: SocketAddr,
        /// What is asked for
        path: String,
    },
    /// Opens many connections, asks once on each, and keeps them until its standard input ends
    Hold {
        /// The server
        address: SocketAddr,
        /// How many
        count: usize,
    },
}

/// How much is asked.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Load {
    /// The server
    address: SocketAddr,
    /// How many ask at the same time
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Ends after this time
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ends after so many answers
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// How many were answered.
    pub(crate) done: u64,
    /// The time from the first request to the last answer.
    pub(crate) seconds: f64,
    /// What went wrong, with numbers: "3 refused".
    pub(crate) errors: Vec<String>,
}

/// Runs a client.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let outcome = match arguments {
        Arguments::Close(load) => close::run(load),
        Arguments::Keep(load) => keep::run(load),
        Arguments::Rude(load) => rude::run(load),
        Arguments::Echo(load) => echo::run(load)?,
        Arguments::Fetch { address, path } => {
            fetch::run(*address, path)?;
            return Ok(ExitCode::SUCCESS);
        }
        Arguments::Hold { address, count } => {
            hold::run(*address, *count)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(ExitCode::SUCCESS)
}

/// The share of one of several clients: it ends when time or requests are used up for all.
struct Budget {
    end: Instant,
    left: AtomicU64,
}

impl Budget {
    /// Takes one request out of it; returns whether there was one.
    fn take(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        Instant::now() < self.end
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .is_ok()
    }
}

/// Runs `client` in as many threads as the load has clients; adds up how many answers each says that it got. An error
/// of one does not end the others.
fn in_threads(load: &Load, client: impl Fn(&Budget, &mut Tally) + Sync) -> Outcome {
    let began = Instant::now();
    let budget = Budget {
        end: began + Duration::from_secs(load.seconds),
        left: AtomicU64::new(load.count),
    };
    let mut sum = Tally::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    client(&budget, &mut tally);
                    tally
                })
            })
            .collect();
        for tally in clients.into_iter().filter_map(|client| client.join().ok()) {
            sum.add(tally);
        }
    });
    sum.outcome(began.elapsed())
}

/// Answers and errors.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    errors: Vec<(String, u64)>,
}

impl Tally {
    /// Counts an answer or an error; returns whether it was an answer.
    fn count<T>(&mut self, result: std::io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.done += 1;
                Some(value)
            }
            Err(error) => {
                self.fail(name(&error), 1);
                None
            }
        }
    }

    fn fail(&mut self, what: &str, times: u64) {
        match self.errors.iter_mut().find(|(name, _)| name == what) {
            Some((_, number)) => *number += times,
            None => self.errors.push((what.to_owned(), times)),
        }
    }

    fn add(&mut self, other: Tally) {
        self.done += other.done;
        for (what, times) in other.errors {
            self.fail(&what, times);
        }
    }

    fn outcome(self, time: Duration) -> Outcome {
        let errors = self.errors.into_iter();
        Outcome {
            done: self.done,
            seconds: time.as_secs_f64(),
            errors: errors
                .map(|(what, times)| format!("{times} {what}"))
                .collect(),
        }
    }
}

/// A word for an error of a connection.
fn name(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset",
        ErrorKind::UnexpectedEof => "closed early",
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timed out",
        ErrorKind::InvalidData => "with another status",
        _ => "with other errors",
    }
}

/// A connection to an HTTP server.
struct Connection {
    stream: TcpStream,
    request: String,
    received: Vec<u8>,
}

impl Connection {
    /// Connects; `field` is a header field of each request, with its end of line, or empty.
    fn open(address: SocketAddr, field: &str) -> std::io::Result<Self> {
        Self::open_for(address, "/", field)
    }

    /// The same for another path than `/`.
    fn open_for(address: SocketAddr, path: &str, field: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{field}\r\n"),
            received: Vec::new(),
        })
    }

    /// Asks and reads the whole answer, which must be a page of an announced length.
    fn ask(&mut self) -> std::io::Result<()> {
        self.stream.write_all(self.request.as_bytes())?;
        self.received.clear();
        loop {
            if let Some(length) = length_in(&self.received)?
                && self.received.len() >= length
            {
                return Ok(());
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            length => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }

    /// Waits until the server closes, as it should after `Connection: close`.
    fn wait_for_end(mut self) -> std::io::Result<()> {
        match self.stream.read(&mut [0; 1])? {
            0 => Ok(()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// The bytes of an answer, once its head has come: of the head and of what the head announces.
fn length_in(received: &[u8]) -> std::io::Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(END.len()).position(|it| it == END) else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&received[..end]);
    let length = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        value.trim().parse::<usize>().ok().filter(|_| is_it)
    });
    match length {
        Some(length) if head.starts_with("HTTP/1.1 200") => Ok(Some(end + END.len() + length)),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_length_is_in_its_head() {
        let length = |text: &str| length_in(text.as_bytes()).expect("a page");
        assert_eq!(length("HTTP/1.1 200 OK\r\nContent-Le"), None);
        assert_eq!(
            length("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhe"),
            Some(44)
        );
        for bad in [
            "HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let error = length_in(bad.as_bytes()).expect_err("no page");
            assert_eq!(name(&error), "with another status");
        }
    }

    #[test]
    fn a_budget_is_for_all_clients_together() {
        let load = Load {
            address: "127.0.0.1:1".parse().expect("an address"),
            clients: 4,
            seconds: 60,
            count: 1000,
        };
        let outcome = in_threads(&load, |budget, tally| {
            while budget.take() {
                tally.count(Ok(()));
            }
            tally.fail("refused", 2);
        });
        assert_eq!(outcome.done, 1000);
        assert_eq!(outcome.errors, ["8 refused"]);
    }
}
