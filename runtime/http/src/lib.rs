//! The HTTP/1.1 server of Landfall: from a TCP listener and a handler to a service that holds its
//! ground against slow, broken and hostile clients.
//!
//! ```ignore
//! let listener = system.network()?.bind_tcp(8080).await?;
//! landfall_http::serve(listener, Limits::default(), |request: &Request<'_>| {
//!     Response::text("hello\n")
//! })
//! .await
//! ```
//!
//! It works on any listener that implements [`edge_nal::TcpAccept`], and needs a heap and an
//! `embassy-time` driver; it knows nothing of the rest of Landfall.
//!
//! | file | what it holds |
//! |---|---|
//! | `server` | [`serve`]: accepts, runs all connections in one future, keeps the one timer |
//! | `connection` | the life of one connection: requests, responses, the end |
//! | `link` | a socket whose every wait has a deadline |
//! | `deadline` | the table of those deadlines |
//! | `buffers` | the input and output buffers that connections borrow from a pool |
//! | `head` | the head of a request: where it ends, what it says, what is wrong with it |
//! | `body` | the body of a request: its framing, and reading it |
//! | `request`, `response`, `asset`, `status` | what a handler is given and what it gives back |
//! | `encoding` | which content coding a client prefers |
//! | `stream` | bodies that are made while they are sent; feature `streaming` |
//! | `handler`, `routes` | who answers which request |
//! | `limits` | how much a client may ask for, and how long it may take |
//!
//! # Memory
//!
//! A connection that waits for its next request holds its future (about 1.3 KiB with a handler that
//! does not wait, and the socket's own size) and no buffer. While a request is under way it holds an
//! input buffer of 1 KiB, which grows to [`Limits::head_bytes`] for a large head, and an output
//! buffer of 1 to 4 KiB; a body is read in pieces of 1 KiB, and [`Request::read_body`] keeps at most
//! what it was told. So `max_requests × (head_bytes + 7 KiB)`, 2.8 MiB with the default limits, is the
//! most that clients can make the server hold beside their connections and what the handler makes, and
//! for that so many have to be in the middle of a request. A response that is being streamed keeps its
//! buffers and its source for as long as it lasts; [`Limits::max_streams`] bounds how many do.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod asset;
mod body;
mod buffers;
mod bytes;
mod connection;
mod deadline;
mod encoding;
mod handler;
mod head;
mod limits;
mod link;
mod request;
mod response;
mod routes;
mod server;
mod status;
#[cfg(feature = "streaming")]
mod stream;

pub use asset::{Asset, Gzip};
pub use edge_http::Method;
pub use handler::Handler;
pub use limits::Limits;
pub use request::{BodyError, Request};
pub use response::Response;
pub use routes::Routes;
pub use server::serve;
pub use status::StatusCode;
