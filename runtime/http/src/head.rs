//! The head of a request: where it ends ([`Scanner`]), what it says ([`Head`]), and what is wrong
//! with it (a [`StatusCode`]).
//!
//! httparse parses the header fields. What it accepts and a server must not is refused here:
//! bare line feeds, two `Host`s, two lengths, a length that is not a number, and whatever else
//! makes two readers of the same bytes see two different requests (RFC 9112, 11.2).

use core::mem::MaybeUninit;

use edge_http::Method;

use crate::bytes::{Class, first_control, first_line_feed};
use crate::{Limits, StatusCode};

/// Most header fields in one request; more are answered with 431.
const MAX_FIELDS: usize = 40;
/// Most empty lines in front of a request (RFC 9112, 2.2).
const MAX_EMPTY_LINES: u8 = 4;

/// Looks for the end of a head in bytes that arrive piece by piece, each looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    at: usize,
    line: usize,
    start: usize,
    empty_lines: u8,
    after_cr: bool,
    request_line: Option<RequestLine>,
}

/// What [`Scanner::scan`] has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scan {
    /// The head goes on.
    Partial,
    /// The head begins at `start`, behind empty lines, with `line`, and ends before `end`.
    Complete {
        start: usize,
        end: usize,
        line: RequestLine,
    },
}

impl Scanner {
    /// Returns whether nothing but empty lines has been seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.start
    }

    /// Looks at what has arrived since the last call; `bytes` begins where it began then.
    ///
    /// How the bytes were cut into pieces makes no difference to what is found.
    pub(crate) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Scan, StatusCode> {
        let line_bytes = limits.request_line_bytes.saturating_add(2);
        loop {
            let (most, too_long) = match self.request_line.is_none() {
                true => (line_bytes.min(limits.head_bytes), StatusCode::URI_TOO_LONG),
                false => (
                    limits.head_bytes,
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                ),
            };
            let most = self.start.saturating_add(most);
            if self.scan_line(&bytes[..bytes.len().min(most)])? {
                if let Some(line) = self.end_of_line(bytes)? {
                    return Ok(Scan::Complete {
                        start: self.start,
                        end: self.at,
                        line,
                    });
                }
            } else if self.at >= most {
                return Err(too_long);
            } else {
                return Ok(Scan::Partial);
            }
        }
    }

    /// Goes on to the end of a line; returns whether it is there.
    fn scan_line(&mut self, bytes: &[u8]) -> Result<bool, StatusCode> {
        loop {
            if !self.after_cr {
                let rest = bytes.get(self.at..).unwrap_or_default();
                self.at += first_control(rest).unwrap_or(rest.len());
            }
            let Some(&byte) = bytes.get(self.at) else {
                return Ok(false);
            };
            self.at += 1;
            match (self.after_cr, byte) {
                (false, b'\r') => self.after_cr = true,
                (false, b'\t') => {}
                (true, b'\n') => {
                    self.after_cr = false;
                    return Ok(true);
                }
                // A bare CR or LF, NUL, or any other control character.
                _ => return Err(StatusCode::BAD_REQUEST),
            }
        }
    }

    /// Takes the line that ends at `self.at`; returns the head's first one where it is the one that ends the head.
    fn end_of_line(&mut self, bytes: &[u8]) -> Result<Option<RequestLine>, StatusCode> {
        let line = bytes.get(self.line..self.at - 2).unwrap_or_default();
        self.line = self.at;
        if self.request_line.is_some() {
            return Ok(self.request_line.filter(|_| line.is_empty()));
        }
        if !line.is_empty() {
            self.request_line = Some(RequestLine::read(line)?);
            return Ok(None);
        }
        self.start = self.at;
        self.empty_lines += 1;
        if self.empty_lines > MAX_EMPTY_LINES {
            return Err(StatusCode::BAD_REQUEST);
        }
        Ok(None)
    }
}

/// What a request's first line says (RFC 9112, 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) http11: bool,
    /// Where its target begins and ends.
    target: (usize, usize),
    /// Bytes of the line, without its end.
    length: usize,
}

impl RequestLine {
    /// Refuses what cannot become a request as soon as its first line is there.
    fn read(line: &[u8]) -> Result<Self, StatusCode> {
        let parts = line.split_last_chunk::<8>().and_then(|(front, version)| {
            let space = front.iter().position(|&byte| byte == b' ')?;
            let (method, rest) = front.split_at(space);
            Some((method, rest[1..].strip_suffix(b" ")?, version))
        });
        let (method, target, version) = parts.ok_or(StatusCode::BAD_REQUEST)?;
        if method.is_empty() || !Class::TOKEN.has_all(method) || !is_target(target) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let http11 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
            }
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        // Methods are case-sensitive (RFC 9110, 9.1). A tunnel is not what this server is for.
        let known = core::str::from_utf8(method).ok().and_then(Method::new);
        let lowercase = method.iter().any(u8::is_ascii_lowercase);
        let start = method.len() + 1;
        match known {
            None | Some(Method::Connect) => Err(StatusCode::NOT_IMPLEMENTED),
            Some(_) if lowercase => Err(StatusCode::NOT_IMPLEMENTED),
            Some(method) => Ok(Self {
                method,
                http11,
                target: (start, start + target.len()),
                length: line.len(),
            }),
        }
    }

    /// Returns the path and query of the target, and the lines of header fields, of the head that this line begins.
    pub(crate) fn target_and_fields<'h>(&self, head: &'h [u8]) -> (&'h str, &'h [u8]) {
        // What is found in one head is not looked for in another.
        let target = head.get(self.target.0..self.target.1).unwrap_or_default();
        let target = match after_scheme(target) {
            None => target,
            Some(rest) => match rest.iter().position(|&byte| matches!(byte, b'/' | b'?')) {
                Some(path) => &rest[path..],
                None => b"/",
            },
        };
        let fields = head.get(self.length..).unwrap_or_default();
        (core::str::from_utf8(target).unwrap_or_default(), fields)
    }
}

/// RFC 9112, 3.2: a path, a whole `http` URL, or `*`.
fn is_target(target: &[u8]) -> bool {
    Class::TARGET.has_all(target)
        && (target.starts_with(b"/") || target == b"*" || after_scheme(target).is_some())
}

fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = target.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"http://") && !rest.is_empty()).then_some(rest)
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// What the server itself needs to know of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) line: RequestLine,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) framing: Framing,
}

impl Head {
    /// Parses a complete head that begins with `line`.
    pub(crate) fn parse(
        bytes: &[u8],
        line: RequestLine,
        limits: &Limits,
    ) -> Result<Self, StatusCode> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut lines) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            }
            Ok(httparse::Status::Partial) | Err(_) => return Err(StatusCode::BAD_REQUEST),
        }
        let mut fields = Fields::default();
        for field in request.headers.iter() {
            fields.note(field.name, field.value)?;
        }
        fields.conclude(line, limits)
    }
}

/// The header fields that decide about the message, as far as they have been seen.
#[derive(Default)]
struct Fields {
    host: bool,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Fields {
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), StatusCode> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // Most fields are none of these: their length tells without comparing.
        match name.len() {
            4 if is("Host") => self.host(value),
            6 if is("Expect") => self.expect(value),
            10 if is("Connection") => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            14 if is("Content-Length") => self.content_length(value),
            17 if is("Transfer-Encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        if core::mem::replace(&mut self.host, true) || !Class::HOST.has_all(value.trim_ascii()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        if !value.trim_ascii().eq_ignore_ascii_case(b"100-continue") {
            return Err(StatusCode::EXPECTATION_FAILED);
        }
        self.expects_continue = true;
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        let digits = value.trim_ascii();
        let all_digits = digits.iter().all(u8::is_ascii_digit);
        if self.length.is_some() || digits.is_empty() || !all_digits {
            return Err(StatusCode::BAD_REQUEST);
        }
        // A number that does not fit is too long a body in any case.
        let length = digits.iter().fold(0_usize, |length, digit| {
            length
                .saturating_mul(10)
                .saturating_add(usize::from(digit - b'0'))
        });
        self.length = Some(length);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        if self.chunked {
            return Err(StatusCode::BAD_REQUEST);
        }
        if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(StatusCode::NOT_IMPLEMENTED);
        }
        self.chunked = true;
        Ok(())
    }

    fn conclude(self, line: RequestLine, limits: &Limits) -> Result<Head, StatusCode> {
        let http11 = line.http11;
        let missing_host = http11 && !self.host;
        let ambiguous = self.chunked && (self.length.is_some() || !http11);
        if missing_host || ambiguous {
            return Err(StatusCode::BAD_REQUEST);
        }
        let length = self.length.unwrap_or(0);
        if length > limits.body_bytes {
            return Err(StatusCode::CONTENT_TOO_LARGE);
        }
        Ok(Head {
            line,
            keep_alive: !self.close && (http11 || self.keep_alive),
            // Nothing to continue with, or a client that is too old to mean it.
            expects_continue: self.expects_continue && http11 && (self.chunked || length > 0),
            framing: if self.chunked {
                Framing::Chunked
            } else {
                Framing::Length(length)
            },
        })
    }
}

/// Returns the value of the first header field with this name among `fields`, lines that end in
/// CRLF.
pub(crate) fn field<'a>(fields: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut left = fields;
    while let Some(end) = first_line_feed(left) {
        let (line, rest) = left.split_at(end + 1);
        left = rest;
        if let Some((found, [b':', value @ ..])) = line.split_at_checked(name.len())
            && found.eq_ignore_ascii_case(name.as_bytes())
        {
            return Some(value.trim_ascii());
        }
    }
    None
}
