//! [`Request`]: what a handler is given. Its head has been checked by `head`; its body is read
//! through `body`.

use alloc::vec::Vec;
use core::net::SocketAddr;

use edge_http::Method;

use crate::body::Incoming;
use crate::{Response, StatusCode};

/// A request whose head has arrived and is sound. Its body is read only when the handler asks.
pub struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) target: &'a str,
    pub(crate) fields: &'a [u8],
    pub(crate) peer: SocketAddr,
    pub(crate) body: Incoming<'a>,
}

impl<'a> Request<'a> {
    /// Returns the method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns whether the method is `GET` or `HEAD`, which differ only in what is sent back.
    pub fn is_get(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
    }

    /// Returns the path as it was sent: without the query, and still percent-encoded.
    pub fn path(&self) -> &'a str {
        self.target
            .split_once('?')
            .map_or(self.target, |(path, _)| path)
    }

    /// Returns what follows the first `?` of the target, still percent-encoded.
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the value of the first header field with this name (in any case), without the
    /// spaces around it; `None` also where it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        crate::head::field(self.fields, name).and_then(|value| core::str::from_utf8(value).ok())
    }

    /// Returns the client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Reads a piece of the body into `buffer`; 0 is the end of the body (or an empty buffer).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        self.body.read(buffer).await
    }

    /// Reads the whole body, which must not be longer than `max` bytes (nor than
    /// [`Limits::body_bytes`](crate::Limits::body_bytes)).
    pub async fn read_body(&mut self, max: usize) -> Result<Vec<u8>, BodyError> {
        self.body.read_all(max).await
    }
}

/// Why a request's body could not be read. The connection ends after the response.
///
/// It turns into the response that fits: 413, 400 or 408.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyError {
    /// Longer than the handler or the limits allow.
    TooLong,
    /// The chunked coding is broken.
    Malformed,
    /// Not complete within [`Limits::body_timeout`](crate::Limits::body_timeout).
    TimedOut,
    /// The client went away in the middle of it.
    Disconnected,
}

impl BodyError {
    /// Returns the status that tells the client.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::CONTENT_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed | Self::Disconnected => StatusCode::BAD_REQUEST,
        }
    }
}

impl core::fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::TooLong => "the request's body is longer than allowed",
            Self::Malformed => "the request's body is not valid chunked coding",
            Self::TimedOut => "the request's body did not arrive in time",
            Self::Disconnected => "the client went away in the middle of the request's body",
        })
    }
}

impl core::error::Error for BodyError {}

impl From<BodyError> for Response {
    fn from(error: BodyError) -> Self {
        Self::error(error.status()).close()
    }
}
