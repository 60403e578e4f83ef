//! A small HTTP client: enough to see that a guest answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long one attempt may wait for the guest.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The head of an answer: its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) String);

impl Status {
    /// Returns whether the page was served, and not an error about it.
    pub(crate) fn is_ok(&self) -> bool {
        self.0.split_whitespace().nth(1) == Some("200")
    }
}

/// Asks `address` for `/` once; returns the status line of an HTTP answer.
pub(crate) fn get(address: SocketAddr, patience: Duration) -> Result<Status> {
    let mut stream = ask(address, patience)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.contains(&b'\n') && answer.len() < 4096 {
        match stream.read(&mut buffer)? {
            0 => break,
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    status(&answer)
}

/// Asks `address` for `/` once; returns a short text that it answers with.
pub(crate) fn text(address: SocketAddr, patience: Duration) -> Result<String> {
    let mut answer = String::new();
    let mut stream = ask(address, patience)?.take(4096);
    stream.read_to_string(&mut answer)?;
    let status = status(answer.as_bytes())?;
    ensure!(status.is_ok(), "{}", status.0);
    let text = answer.split_once("\r\n\r\n");
    Ok(text
        .context("the answer has no end of its head")?
        .1
        .to_owned())
}

/// Connects and asks.
fn ask(address: SocketAddr, patience: Duration) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // In one piece, as browsers send it: some servers answer the first packet and close.
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

fn status(answer: &[u8]) -> Result<Status> {
    let text = String::from_utf8_lossy(answer);
    let line = text
        .lines()
        .next()
        .context("the connection was closed without an answer")?;
    ensure!(
        line.starts_with("HTTP/1."),
        "the answer is not HTTP: {line:?}"
    );
    Ok(Status(line.to_owned()))
}

/// Asks `address` again and again until it answers with HTTP, `stop` says so, or `deadline` is over.
pub(crate) fn poll(
    address: SocketAddr,
    deadline: Option<Instant>,
    stop: impl Fn() -> bool,
) -> Option<Status> {
    while !stop() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        if let Ok(status) = get(address, PATIENCE) {
            return Some(status);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_http_counts_as_an_answer() {
        assert_eq!(
            status(b"HTTP/1.1 200 OK\r\n").expect("HTTP").0,
            "HTTP/1.1 200 OK"
        );
        assert!(status(b"HTTP/1.1 200 OK\r\n").expect("HTTP").is_ok());
        assert!(!status(b"HTTP/1.1 503 Busy\r\n").expect("HTTP").is_ok());
        assert!(status(b"SSH-2.0-OpenSSH\r\n").is_err());
        assert!(status(b"").is_err());
    }

    #[test]
    fn a_server_is_found_and_a_closed_port_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 512];
            let _length = stream.read(&mut request).expect("a request");
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .expect("the client reads");
        });
        let deadline = Some(Instant::now() + Duration::from_secs(10));
        let status = poll(address, deadline, || false).expect("an answer");
        assert_eq!(status.0, "HTTP/1.1 204 No Content");
        server.join().expect("the server ends");
        assert_eq!(poll(address, Some(Instant::now()), || false), None);
    }
}
