//! Bodies that are made while they are sent: [`Chunks`], and how they travel.
//!
//! HTTP/1.1 has the chunked coding for them (RFC 9112, 7.1); for HTTP/1.0 the end of the connection is
//! the end of the body. In both cases the connection ends with the body, so whatever the client says
//! in the meantime is of no interest, except that it leaves.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::pin::{Pin, pin};

use edge_http::Method;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt};

use crate::Response;
use crate::deadline::Until;
use crate::head::Head;
use crate::link::{End, Failure, Link, Socket};

/// How much a client may say while it is sent a stream.
const IDLE_TALK: usize = 16 * 1024;

/// The source of a streamed body, see [`Response::stream`].
pub(crate) struct Chunks(Pin<Box<dyn Stream<Item = Vec<u8>>>>);

impl Chunks {
    pub(crate) fn new(chunks: impl Stream<Item = Vec<u8>> + 'static) -> Self {
        Self(Box::pin(chunks))
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Chunks")
    }
}

/// One of the places for streams.
pub(crate) struct Place<'a>(&'a Cell<usize>);

impl<'a> Place<'a> {
    /// Takes a place if fewer than `most` are taken.
    pub(crate) fn take(taken: &'a Cell<usize>, most: usize) -> Option<Self> {
        let free = taken.get() < most;
        free.then(|| {
            taken.set(taken.get() + 1);
            Self(taken)
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Sends `response` with the body that `chunks` yields.
pub(crate) async fn send<S: Socket>(
    link: &mut Link<'_, S>,
    output: &mut Vec<u8>,
    response: &Response,
    chunks: Chunks,
    head: &Head,
) -> End {
    let framing = match head.line.http11 {
        true => "Transfer-Encoding: chunked\r\n",
        false => "",
    };
    output.clear();
    response.encode_stream_head(framing, output);
    let sent = match (link.write_all(output).await, head.line.method) {
        (Ok(()), Method::Head) => Ok(End::Answered),
        (Ok(()), _) => send_body(link, output, chunks, head.line.http11).await,
        (Err(failure), _) => Err(failure),
    };
    sent.unwrap_or(End::Abort)
}

async fn send_body<S: Socket>(
    link: &mut Link<'_, S>,
    output: &mut Vec<u8>,
    mut chunks: Chunks,
    chunked: bool,
) -> Result<End, Failure> {
    let mut heard = 0;
    loop {
        match next(link, &mut chunks).await? {
            // An empty chunk would be the last.
            Next::Chunk(chunk) if chunk.is_empty() => {}
            Next::Chunk(chunk) => {
                frame(&chunk, chunked, output);
                link.write_all(output).await?;
            }
            Next::ClientSpeaks => match link.read(&mut [0; 256], Until::ServerEnds).await? {
                0 => return Ok(End::Silent),
                count if heard + count > IDLE_TALK => return Err(Failure::Broken),
                count => heard += count,
            },
            Next::End => break,
        }
    }
    if chunked {
        link.write_all(b"0\r\n\r\n").await?;
    }
    Ok(End::Answered)
}

enum Next {
    Chunk(Vec<u8>),
    ClientSpeaks,
    /// The body has ended, or the server does.
    End,
}

async fn next<S: Socket>(link: &mut Link<'_, S>, chunks: &mut Chunks) -> Result<Next, Failure> {
    let Link { slot, socket, .. } = link;
    let speaks = pin!(socket.readable());
    let either = select(chunks.0.next(), speaks);
    match slot.run(Until::ServerEnds, either).await {
        Ok(Either::Left((Some(chunk), _))) => Ok(Next::Chunk(chunk)),
        Ok(Either::Right((Ok(()), _))) => Ok(Next::ClientSpeaks),
        Ok(Either::Right((Err(_), _))) => Err(Failure::Broken),
        Ok(Either::Left((None, _))) | Err(_) => Ok(Next::End),
    }
}

/// Makes `output` what is sent for `chunk`.
fn frame(chunk: &[u8], chunked: bool, output: &mut Vec<u8>) {
    output.clear();
    if chunked {
        push_size(output, chunk.len());
    }
    output.extend_from_slice(chunk);
    if chunked {
        output.extend_from_slice(b"\r\n");
    }
}

/// Appends a chunk's size in hexadecimal and the end of its line.
fn push_size(output: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        // Four bits are below the radix.
        let digit = char::from_digit((size >> (4 * digit)) as u32 & 0xf, 16).unwrap_or('0');
        output.push(digit as u8);
    }
    output.extend_from_slice(b"\r\n");
}
