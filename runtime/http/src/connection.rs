//! The life of one connection: it waits, reads a head, asks the handler, writes the response, and
//! does so again until someone has enough.

#[cfg(feature = "streaming")]
use alloc::boxed::Box;
use core::cell::Cell;
use core::net::SocketAddr;

use edge_http::Method;
use embassy_time::{Duration, Instant};
use landfall_log::debug;

use crate::body::{Incoming, State};
use crate::buffers::{Buffers, Input, Pool};
use crate::deadline::{Deadlines, Until};
use crate::head::{Head, Scan, Scanner};
use crate::link::{End, Failure, Link, Socket};
use crate::response::Persistence;
#[cfg(feature = "streaming")]
use crate::stream::{self, Place};
use crate::{Handler, Limits, Request, Response, StatusCode};

/// How long a new connection may take to say something before it counts as idle, which others may
/// take the place of.
const FRESH: Duration = Duration::from_secs(1);

/// What all connections of a server share.
pub(crate) struct Shared<H> {
    pub(crate) limits: Limits,
    pub(crate) handler: H,
    pub(crate) deadlines: Deadlines,
    pub(crate) pool: Pool,
    /// Others wait for a place: no connection stays after its response.
    pub(crate) crowded: Cell<bool>,
    /// Responses that are being streamed.
    #[cfg(feature = "streaming")]
    pub(crate) streams: Cell<usize>,
}

/// Serves one connection to its end.
pub(crate) async fn run<S: Socket, H: Handler>(shared: &Shared<H>, socket: S, peer: SocketAddr) {
    let slot = shared.deadlines.slot();
    let mut link = Link {
        socket,
        peer,
        slot,
        limits: &shared.limits,
    };
    let end = converse(shared, &mut link).await;
    link.end(end).await;
}

/// Answers requests, and holds buffers only while there are any.
async fn converse<S: Socket, H: Handler>(shared: &Shared<H>, link: &mut Link<'_, S>) -> End {
    let idle = shared.limits.idle_timeout;
    let fresh = FRESH.min(idle);
    let mut wait = Until::Within(fresh);
    loop {
        match link.readable(wait).await {
            Ok(()) => {}
            Err(Failure::Expired) if matches!(wait, Until::Within(_)) => {
                wait = Until::Idle(idle - fresh);
                continue;
            }
            Err(Failure::Expired) => return End::Silent,
            Err(Failure::Broken) => return End::Abort,
        }
        let mut buffers = shared.pool.take().await;
        let end = answer_all(shared, link, &mut buffers).await;
        shared.pool.put(buffers);
        if let Err(end) = end {
            return end;
        }
        wait = Until::Idle(idle);
    }
}

/// Answers requests as long as there is something of one.
async fn answer_all<S: Socket, H: Handler>(
    shared: &Shared<H>,
    link: &mut Link<'_, S>,
    buffers: &mut Buffers,
) -> Result<(), End> {
    fill(
        link,
        &mut buffers.input,
        Until::Within(shared.limits.header_timeout),
    )
    .await?;
    while !buffers.input.is_empty() {
        match read_head(link, &mut buffers.input).await? {
            Ok((head, start, end)) => {
                answer(shared, link, buffers, head, start..end).await?;
            }
            Err(status) => return Err(refuse(link, buffers, status).await),
        }
    }
    Ok(())
}

/// Reads once; the end of the connection ends it without a word.
async fn fill<S: Socket>(
    link: &mut Link<'_, S>,
    input: &mut Input,
    until: Until,
) -> Result<(), End> {
    // Beyond the longest head there are only the empty lines in front of it.
    let limit = link.limits.head_bytes.saturating_add(16);
    match link.read(input.room(limit), until).await {
        Ok(0) | Err(Failure::Expired) => Err(End::Silent),
        Ok(count) => {
            input.filled(count);
            Ok(())
        }
        Err(Failure::Broken) => Err(End::Abort),
    }
}

type HeadAndPlace = (Head, usize, usize);

/// Reads until a head is complete; returns what it says and where it is, or how to refuse it.
async fn read_head<S: Socket>(
    link: &mut Link<'_, S>,
    input: &mut Input,
) -> Result<Result<HeadAndPlace, StatusCode>, End> {
    let mut scanner = Scanner::default();
    let mut deadline = None;
    loop {
        match scanner.scan(input.unread(), link.limits) {
            Ok(Scan::Complete { start, end, line }) => {
                let head = Head::parse(&input.unread()[start..end], line, link.limits);
                return Ok(head.map(|head| (head, start, end)));
            }
            Ok(Scan::Partial) => {}
            Err(status) => return Ok(Err(status)),
        }
        let timeout = link.limits.header_timeout;
        let until = *deadline.get_or_insert_with(|| Instant::now().saturating_add(timeout));
        let unfinished = !scanner.is_empty();
        match fill(link, input, Until::At(until)).await {
            // The client sees a reason where it had begun to say something.
            Err(End::Silent) if unfinished && Instant::now() < until => {
                return Ok(Err(StatusCode::BAD_REQUEST));
            }
            Err(End::Silent) if unfinished => return Ok(Err(StatusCode::REQUEST_TIMEOUT)),
            other => other?,
        }
    }
}

/// Asks the handler and writes its response; `place` is where the head is in the input.
async fn answer<S: Socket, H: Handler>(
    shared: &Shared<H>,
    link: &mut Link<'_, S>,
    buffers: &mut Buffers,
    head: Head,
    place: core::ops::Range<usize>,
) -> Result<(), End> {
    let Buffers { input, output } = buffers;
    let (bytes, ahead) = input.unread().split_at(place.end);
    let method = head.line.method;
    let (target, fields) = head.line.target_and_fields(&bytes[place.start..]);
    let peer = link.peer;
    let state = State::new(&head, ahead, &shared.limits);
    let body = Incoming {
        state,
        ahead,
        source: link,
    };
    let mut request = Request {
        method,
        target,
        fields,
        peer,
        body,
    };
    #[cfg_attr(not(feature = "streaming"), expect(unused_mut))]
    let mut response = shared.handler.handle(&mut request).await;
    let state = request.body.state;
    #[cfg(feature = "streaming")]
    if let Some(chunks) = response.take_chunks() {
        match Place::take(&shared.streams, shared.limits.max_streams) {
            Some(_place) => {
                debug!(target: "http", "{peer} {method} {target} streams");
                // Boxed, so that the other connections are no larger for it.
                return Err(Box::pin(stream::send(link, output, &response, chunks, &head)).await);
            }
            None => {
                response =
                    Response::error(StatusCode::SERVICE_UNAVAILABLE).header("Retry-After", "30")
            }
        }
    }

    let stays =
        head.keep_alive && state.is_reusable() && !response.closes() && !shared.crowded.get();
    let persistence = match (stays, head.line.http11) {
        (false, _) => Persistence::Close,
        (true, true) => Persistence::KeepAlive,
        (true, false) => Persistence::KeepAliveHttp10,
    };
    debug!(
        target: "http",
        "{peer} {method} {target} {}",
        response.status().line()
    );
    send(link, output, &response, method, persistence).await?;
    if !stays {
        return Err(End::Answered);
    }
    let mut rest = Incoming {
        state,
        ahead,
        source: link,
    };
    if !rest.discard().await {
        return Err(End::Answered);
    }
    let (taken, more) = rest.state.finish();
    input.consume(place.end + taken);
    input.extend(&more);
    Ok(())
}

/// Answers what is not a request that can be served, and ends.
async fn refuse<S: Socket>(
    link: &mut Link<'_, S>,
    buffers: &mut Buffers,
    status: StatusCode,
) -> End {
    let method = match buffers.input.unread().starts_with(b"HEAD ") {
        true => Method::Head,
        false => Method::Get,
    };
    let response = Response::error(status);
    match send(
        link,
        &mut buffers.output,
        &response,
        method,
        Persistence::Close,
    )
    .await
    {
        Ok(()) => End::Answered,
        Err(end) => end,
    }
}

async fn send<S: Socket>(
    link: &mut Link<'_, S>,
    output: &mut alloc::vec::Vec<u8>,
    response: &Response,
    method: Method,
    persistence: Persistence,
) -> Result<(), End> {
    output.clear();
    let body = response.encode(method, persistence, output);
    for part in [output.as_slice(), body] {
        link.write_all(part).await.map_err(|_| End::Abort)?;
    }
    Ok(())
}
