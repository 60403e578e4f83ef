//! [`Limits`]: how much a client may ask of the server and how long it may take.

use embassy_time::Duration;

/// What one client may cost. The defaults suit a small public service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections that are served at the same time. With one more, the longest idle connection is
    /// closed; if none is idle, further ones wait in the listener until one ends.
    pub max_connections: usize,
    /// Requests that are under way at the same time. A connection with a further one waits until one is done, which all
    /// are in time; so many hold buffers.
    pub max_requests: usize,
    /// Responses that are streamed at the same time, each on a connection of its own; a further one
    /// becomes 503. Only with feature `streaming`.
    pub max_streams: usize,
    /// Longest request line: method, target, version. A longer one is answered with 414.
    pub request_line_bytes: usize,
    /// Longest request head: request line and header fields. A longer one is answered with 431.
    pub head_bytes: usize,
    /// Longest request body. A longer one is answered with 413 as soon as that is known.
    pub body_bytes: usize,
    /// A request's head must be complete this long after its first byte, else 408.
    pub header_timeout: Duration,
    /// A request's body must be complete this long after the handler first asked for it.
    pub body_timeout: Duration,
    /// A connection without a request under way is closed after this time.
    pub idle_timeout: Duration,
    /// A client that takes no byte of a response for this long is dropped.
    pub write_timeout: Duration,
    /// A client that reads a response at fewer bytes per second than this, beyond one
    /// `write_timeout`, is dropped.
    pub slowest_read: u32,
}

impl Limits {
    /// The limits that [`Default`] gives, as a constant.
    pub const DEFAULT: Self = Self {
        max_connections: 16_384,
        max_requests: 256,
        max_streams: 32,
        request_line_bytes: 1024,
        head_bytes: 4096,
        body_bytes: 64 * 1024,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        slowest_read: 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
