//! [`Response`]: what a handler gives back, and how it is written on the wire.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use edge_http::Method;
#[cfg(feature = "streaming")]
use futures_util::Stream;

use crate::asset::is_named;
#[cfg(feature = "streaming")]
use crate::stream::Chunks;
use crate::{Asset, Request, StatusCode};

/// Header fields of every response: what a browser must not do with it.
///
/// The policy lets a page load what this server serves and run WebAssembly, and nothing else.
const SECURITY: &str = "X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n";
const POLICY_NAME: &str = "Content-Security-Policy";
const POLICY: &str = ": default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'\r\n";

/// Bodies up to this size are copied behind their head and leave in the same write.
const SMALL_BODY: usize = 2048;

/// An answer: status, header fields and body.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    content_type: Option<&'static str>,
    etag: Option<&'static str>,
    cache_control: Option<&'static str>,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
    #[cfg(feature = "streaming")]
    chunks: Option<Chunks>,
    close: bool,
}

/// What the server decides about a response, whatever the handler said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Persistence {
    /// The connection ends after this response.
    Close,
    /// It stays open, as HTTP/1.1 has it unless somebody says otherwise.
    KeepAlive,
    /// It stays open, and the client speaks HTTP/1.0, so it has to be told.
    KeepAliveHttp10,
}

impl Response {
    /// Returns an empty response with this status.
    pub const fn new(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            etag: None,
            cache_control: None,
            headers: Vec::new(),
            body: Cow::Borrowed(&[]),
            #[cfg(feature = "streaming")]
            chunks: None,
            close: false,
        }
    }

    /// Returns 200 with plain text.
    pub fn text(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::OK).with_text("text/plain; charset=utf-8", body.into())
    }

    /// Returns 200 with an HTML page.
    pub fn html(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::OK).with_text("text/html; charset=utf-8", body.into())
    }

    /// Returns 200 with `body`, which must be JSON, that no cache keeps.
    pub fn json(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::OK)
            .with_text("application/json", body.into())
            .cache_control("no-store")
    }

    /// Returns 200 with `body` as `content_type`.
    pub fn bytes(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::new(StatusCode::OK).body(content_type, body)
    }

    /// Returns 200 with a body that `chunks` yields piece by piece, for as long as it likes; the
    /// connection ends with it. It is dropped when the client leaves or the server ends.
    ///
    /// No more than [`Limits::max_streams`](crate::Limits::max_streams) clients get such a response,
    /// others get 503. While nothing is sent, a client that vanished is noticed by TCP alone: a
    /// stream that rests for long should send something that means nothing now and then.
    #[cfg(feature = "streaming")]
    pub fn stream(
        content_type: &'static str,
        chunks: impl Stream<Item = Vec<u8>> + 'static,
    ) -> Self {
        let mut response = Self::new(StatusCode::OK).cache_control("no-store");
        response.content_type = Some(content_type);
        response.chunks = Some(Chunks::new(chunks));
        response
    }

    /// Returns `asset` in the coding that the client prefers, or 304 where the request says that the
    /// client has it, or 405 where the method is neither `GET` nor `HEAD`.
    pub fn asset(asset: &Asset, request: &Request<'_>) -> Self {
        if !request.is_get() {
            return Self::method_not_allowed("GET, HEAD");
        }
        let chosen = asset.representation(request.header("Accept-Encoding"));
        let known = request
            .header("If-None-Match")
            .is_some_and(|tags| is_named(chosen.etag, tags));
        let mut response = if known {
            Self::new(StatusCode::NOT_MODIFIED)
        } else {
            Self::bytes(asset.content_type, chosen.body)
        };
        response.etag = Some(chosen.etag);
        response.cache_control = Some(asset.cache_control);
        if asset.gzip.is_some() {
            response = response.header("Vary", "Accept-Encoding");
        }
        if chosen.is_gzip && !known {
            response = response.header("Content-Encoding", "gzip");
        }
        response
    }

    /// Returns `status` with its phrase as the body, for people who meet it in a browser.
    pub fn error(status: StatusCode) -> Self {
        Self::new(status).with_text("text/plain; charset=utf-8", Cow::Borrowed(status.line()))
    }

    /// Returns 404.
    pub fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND)
    }

    /// Returns 405 that names the methods that would do, such as `GET, HEAD`.
    pub fn method_not_allowed(allow: impl Into<Cow<'static, str>>) -> Self {
        Self::error(StatusCode::METHOD_NOT_ALLOWED).header("Allow", allow.into())
    }

    /// Adds a header field.
    ///
    /// The server itself writes `Content-Length`, `Transfer-Encoding` and `Connection`: those are
    /// left out here. A `Content-Security-Policy` replaces the server's own. Control characters in
    /// the value are sent as spaces.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let own = ["Content-Length", "Transfer-Encoding", "Connection"];
        if !own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            self.headers.push((name, value.into()));
        }
        self
    }

    /// Sets `Cache-Control`.
    #[must_use]
    pub fn cache_control(mut self, value: &'static str) -> Self {
        self.cache_control = Some(value);
        self
    }

    /// Sets the body and its media type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.content_type = Some(content_type);
        self.body = body.into();
        self
    }

    /// Ends the connection after this response.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the source of a body that is made while it is sent.
    #[cfg(feature = "streaming")]
    pub(crate) fn take_chunks(&mut self) -> Option<Chunks> {
        self.chunks.take()
    }

    /// Returns whether the handler wants the connection to end.
    pub(crate) fn closes(&self) -> bool {
        self.close
    }

    /// Appends the head to `out`, and the body too where it is small, so that one write does for
    /// both. Returns the part of the body that is still to be written, straight from where it is.
    pub(crate) fn encode(
        &self,
        method: Method,
        persistence: Persistence,
        out: &mut Vec<u8>,
    ) -> &[u8] {
        self.encode_head(persistence, out);
        if method == Method::Head || self.status.is_bodiless() {
            return &[];
        }
        if self.body.len() > SMALL_BODY {
            return &self.body;
        }
        out.extend_from_slice(&self.body);
        &[]
    }

    fn encode_head(&self, persistence: Persistence, out: &mut Vec<u8>) {
        self.encode_fields(persistence, out);
        if !self.status.is_bodiless() {
            self.encode_content_type(out);
            push(out, &["Content-Length: "]);
            push_decimal(out, self.body.len());
            push(out, &["\r\n"]);
        }
        push(out, &["\r\n"]);
    }

    /// Appends the head of a response whose body's end is told by `framing`, a header field, or by
    /// the end of the connection.
    #[cfg(feature = "streaming")]
    pub(crate) fn encode_stream_head(&self, framing: &str, out: &mut Vec<u8>) {
        self.encode_fields(Persistence::Close, out);
        self.encode_content_type(out);
        push(out, &[framing, "\r\n"]);
    }

    fn encode_content_type(&self, out: &mut Vec<u8>) {
        if let Some(content_type) = self.content_type {
            push(out, &["Content-Type: ", content_type, "\r\n"]);
        }
    }

    fn encode_fields(&self, persistence: Persistence, out: &mut Vec<u8>) {
        push(out, &["HTTP/1.1 ", self.status.line(), "\r\n", SECURITY]);
        let own_policy = |(name, _): &(&str, _)| name.eq_ignore_ascii_case(POLICY_NAME);
        if !self.headers.iter().any(own_policy) {
            push(out, &[POLICY_NAME, POLICY]);
        }
        if let Some(etag) = self.etag {
            push(out, &["ETag: ", etag, "\r\n"]);
        }
        if let Some(cache_control) = self.cache_control {
            push(out, &["Cache-Control: ", cache_control, "\r\n"]);
        }
        for (name, value) in &self.headers {
            push(out, &[name, ": "]);
            // A line break that a handler copied from somewhere must not begin a new field.
            out.extend(
                value
                    .bytes()
                    .map(|byte| if byte.is_ascii_control() { b' ' } else { byte }),
            );
            push(out, &["\r\n"]);
        }
        match persistence {
            Persistence::Close => push(out, &["Connection: close\r\n"]),
            Persistence::KeepAliveHttp10 => push(out, &["Connection: keep-alive\r\n"]),
            Persistence::KeepAlive => {}
        }
    }

    fn with_text(self, content_type: &'static str, text: Cow<'static, str>) -> Self {
        let body = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self.body(content_type, body)
    }
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends `number` in decimal, without the formatting machinery.
fn push_decimal(out: &mut Vec<u8>, mut number: usize) {
    let first = out.len();
    loop {
        // The remainder of a division by ten fits a digit.
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[first..].reverse();
}
