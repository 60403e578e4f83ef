//! [`serve`]: accepts connections, runs them all in one future, and keeps the one timer.

use alloc::boxed::Box;
use core::cell::Cell;
use core::future::{Future, pending, poll_fn};
use core::net::SocketAddr;
use core::pin::Pin;

use edge_nal::TcpAccept;
use embassy_time::Duration;
use embedded_io_async::{Error, ErrorKind};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use landfall_log::warn;

use crate::buffers::Pool;
use crate::connection::{self, Shared};
use crate::deadline::{Alarm, Deadlines, Until};
use crate::{Handler, Limits};

/// Pause after an accept that failed; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many failures in a row, which take about a minute, are not going to pass.
const MAX_FAILURES: u32 = 64;

/// Serves HTTP/1.1 on `acceptor` with `handler`, for as long as connections can be accepted.
///
/// It returns with the error that made accepting impossible for good, or well when the acceptor
/// says that there will be no more connections ([`ErrorKind::NotConnected`]): then requests that
/// have begun are answered, and idle connections and streams end at once. A failure that passes is
/// logged.
///
/// Nothing is spawned: all connections live inside the future that this returns, and end with it.
/// It waits on one timer at most, and on none while no client is connected.
///
/// What is written to a socket must reach the client without a `flush`.
pub async fn serve<A, H>(acceptor: A, limits: Limits, handler: H) -> Result<(), A::Error>
where
    A: TcpAccept,
    H: Handler,
{
    let shared = Shared {
        limits,
        handler,
        deadlines: Deadlines::new(),
        pool: Pool::new(limits.max_requests.max(1)),
        crowded: Cell::new(false),
        #[cfg(feature = "streaming")]
        streams: Cell::new(0),
    };
    let (shared, acceptor) = (&shared, &acceptor);
    let mut alarm = Alarm::new(&shared.deadlines);
    let mut tasks = FuturesUnordered::<Task<'_, A>>::new();
    let mut connections = 0;
    let mut making_room = false;
    let mut closed = false;
    tasks.push(Box::pin(accept(shared, acceptor)));
    loop {
        let event = poll_fn(|context| {
            let event = tasks.poll_next_unpin(context);
            if shared.crowded.get() && !making_room && event.is_pending() {
                making_room = shared.deadlines.expire_longest_idle();
            }
            // After the connections, which set deadlines.
            alarm.poll(context);
            event
        });
        match event.await {
            Some(Event::Accepted(socket, peer)) => {
                connections += 1;
                let connection = connection::run(shared, socket, peer);
                tasks.push(Box::pin(connection.map(|()| Event::Ended)));
            }
            Some(Event::Ended) => {
                connections -= 1;
                making_room = false;
                if !closed && !shared.crowded.get() {
                    continue;
                }
            }
            Some(Event::Closed) => {
                closed = true;
                while shared.deadlines.expire_longest_idle() {}
                #[cfg(feature = "streaming")]
                shared.deadlines.expire_streams();
            }
            Some(Event::Failed(error)) => return Err(error),
            // There is either room and an accept, or a connection.
            None => {}
        }
        if closed {
            if connections == 0 {
                return Ok(());
            }
            // No connection stays after its response.
            shared.crowded.set(true);
            continue;
        }
        let crowded = connections > shared.limits.max_connections;
        shared.crowded.set(crowded);
        if !crowded {
            tasks.push(Box::pin(accept(shared, acceptor)));
        }
    }
}

type Task<'s, A> = Pin<Box<dyn Future<Output = Event<'s, A>> + 's>>;

enum Event<'s, A: TcpAccept + 's> {
    Accepted(A::Socket<'s>, SocketAddr),
    Ended,
    /// The acceptor is done.
    Closed,
    Failed(A::Error),
}

/// Accepts one connection, however long that takes.
async fn accept<'s, A: TcpAccept, H>(shared: &'s Shared<H>, acceptor: &'s A) -> Event<'s, A> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..MAX_FAILURES {
        match acceptor.accept().await {
            Ok((peer, socket)) => return Event::Accepted(socket, peer),
            Err(error) if error.kind() == ErrorKind::NotConnected => return Event::Closed,
            Err(error) => warn!("http: cannot accept a connection: {error}"),
        }
        // Whatever is short, an idle connection holds some of it.
        shared.deadlines.expire_longest_idle();
        let slot = shared.deadlines.slot();
        // The pause ends by its deadline.
        let _ = slot.run(Until::Within(pause), pending::<()>()).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    match acceptor.accept().await {
        Ok((peer, socket)) => Event::Accepted(socket, peer),
        Err(error) => Event::Failed(error),
    }
}
