//! An HTTP client that can also be rude: [`Connection`] sends any bytes and reads one response after
//! the other.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::DEADLINE;

/// A response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields, in their order.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of the header field `name`.
    ///
    /// # Panics
    /// When there are two.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self
            .fields
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(
            values.next().is_none(),
            "two fields {name}: {:?}",
            self.fields
        );
        value
    }

    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        Self::open_within(address, DEADLINE)
    }

    /// Connects, or gives up.
    pub fn open_within(address: SocketAddr, patience: Duration) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: Vec::new(),
        })
    }

    /// Sends bytes, whatever they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) -> std::io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Waits at most this long for bytes from now on.
    pub fn set_patience(&mut self, patience: Duration) -> std::io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    /// Asks with a header that keeps the connection open, and reads the answer.
    pub fn request(&mut self, method: &str, path: &str, fields: &str) -> std::io::Result<Response> {
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"
        ))?;
        self.response(method)
    }

    /// Sends a body of JSON, and reads the answer.
    pub fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> std::io::Result<Response> {
        let body = body.as_ref();
        let fields = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
        self.send([head.as_bytes(), body].concat())?;
        self.response("POST")
    }

    /// Asks for a response that is streamed, and reads its head.
    pub fn open_stream(&mut self, path: &str) -> std::io::Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))?;
        let head = self.part(b"\r\n\r\n")?;
        parse(&head).ok_or_else(|| wrong(&head))
    }

    /// Reads the next chunk of a streamed response; the last is empty (RFC 9112, 7.1).
    pub fn chunk(&mut self) -> std::io::Result<String> {
        let line = self.part(b"\r\n")?;
        let size = std::str::from_utf8(&line).ok();
        let size = size.and_then(|size| usize::from_str_radix(size.trim_end(), 16).ok());
        let size = size.ok_or_else(|| wrong(&line))?;
        while self.input.len() < size + 2 {
            self.fill()?;
        }
        let mut chunk: Vec<u8> = self.input.drain(..size + 2).collect();
        chunk.truncate(size);
        String::from_utf8(chunk).map_err(std::io::Error::other)
    }

    /// Reads up to the end of `end`.
    fn part(&mut self, end: &[u8]) -> std::io::Result<Vec<u8>> {
        loop {
            let found = self.input.windows(end.len()).position(|part| part == end);
            match found {
                Some(place) => return Ok(self.input.drain(..place + end.len()).collect()),
                None => self.fill()?,
            }
        }
    }

    /// Reads the response to a request with this method.
    pub fn response(&mut self, method: &str) -> std::io::Result<Response> {
        let head = self.part(b"\r\n\r\n")?;
        let mut response = parse(&head).ok_or_else(|| wrong(&head))?;
        let bodiless = method == "HEAD" || matches!(response.status, 204 | 304);
        let length = if bodiless {
            0
        } else {
            let length = response
                .field("Content-Length")
                .and_then(|length| length.parse().ok());
            length.ok_or_else(|| wrong(&head))?
        };
        while self.input.len() < length {
            self.fill()?;
        }
        response.body = self.input.drain(..length).collect();
        Ok(response)
    }

    /// Reads to the end; returns how many more bytes came.
    pub fn drain(&mut self) -> std::io::Result<usize> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(self.input.len() + rest.len())
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.input.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}

fn wrong(head: &[u8]) -> std::io::Error {
    std::io::Error::other(format!(
        "no head of a response: {:?}",
        String::from_utf8_lossy(head)
    ))
}

fn parse(head: &[u8]) -> Option<Response> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let lines = lines.take_while(|line| !line.is_empty());
    let field = |line: &str| {
        line.split_once(':')
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
    };
    Some(Response {
        status,
        fields: lines.map(field).collect::<Option<_>>()?,
        body: Vec::new(),
    })
}

/// Asks once, on a connection of its own. The client closes it, so that nothing of it is left at the
/// server (TIME-WAIT is for the side that closes first).
pub fn ask(address: SocketAddr, method: &str, path: &str) -> std::io::Result<Response> {
    Connection::open(address)?.request(method, path, "")
}

/// Returns what `path` holds.
///
/// # Panics
/// When the answer is not 200.
pub fn get(address: SocketAddr, path: &str) -> Response {
    let response = ask(address, "GET", path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
    assert_eq!(response.status, 200, "GET {path}");
    response
}

/// Returns what `/api/info` of the 2048 service says.
pub fn info(address: SocketAddr) -> Value {
    get(address, "/api/info").json()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn responses_are_read_one_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let answers = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\
                           HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n";
            stream
                .write_all(answers.as_bytes())
                .expect("the client reads");
        });
        let mut connection = Connection::open(address).expect("the server listens");
        let first = connection.response("GET").expect("a response");
        assert_eq!((first.status, first.text()), (200, "hi"));
        let second = connection.response("GET").expect("a response");
        assert_eq!((second.status, second.field("etag")), (304, Some("\"1\"")));
        assert_eq!(connection.drain().expect("the server closes"), 0);
        server.join().expect("the server ends");
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        assert_eq!(parse(b"SSH-2.0\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), None);
    }
}
