//! Log lines for a syslog server: messages of RFC 5424, a UDP datagram each (RFC 5426).
//!
//! A line that is logged is put into a queue, and a task sends what is there. Lines wait until the network has
//! an address; when the queue is full, new ones are dropped and counted. What is logged while the task sends
//! is not sent in turn.

use crate::{
    Error, Identity, System,
    arguments::{Argument, ArgumentError, SyslogServer, Words, argument},
    network::{Network, UdpSocket},
    wall_clock::{self, WallClock},
};
use alloc::{collections::VecDeque, format, string::String};
use core::{
    cell::RefCell,
    fmt::Write,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    task::{Poll, Waker},
};
use critical_section::Mutex;
use embassy_time::{Duration, Timer};
use landfall_log::{Level, warn};
use log::Record;

pub(crate) const ARGUMENT: Argument<'static> = argument!(
    "R",
    "syslog",
    "SyslogServer",
    "none",
    "where log lines are sent, as syslog over UDP, such as 10.0.2.2 or 10.0.2.2:5514"
);

/// How many lines wait at most.
const WAITING: usize = 64;
/// A longer message is cut: receivers take at least 480 bytes and should take 2048 (RFC 5426, 3.2).
const LONGEST: usize = 1024;
/// The facility of "user-level messages" (RFC 5424, 6.2.1).
const FACILITY: u8 = 1;
/// How long a message may wait in the network's own queue for a neighbour's answer.
const NEIGHBOUR: Duration = Duration::from_millis(50);
/// After how long the task tries again to open a port.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the last lines have at the end of the system, and how often it looks.
const LAST: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(10);

static QUEUE: Mutex<RefCell<Queue>> = Mutex::new(RefCell::new(Queue {
    app: None,
    messages: VecDeque::new(),
    is_sending: false,
    is_polled: false,
    dropped: 0,
    reported: 0,
    task: None,
}));

struct Queue {
    /// The app whose lines are wanted; `None` without a server.
    app: Option<&'static Identity>,
    messages: VecDeque<String>,
    /// A message was taken and is not sent yet.
    is_sending: bool,
    /// The task is at it right now: what is logged comes from the network's own code.
    is_polled: bool,
    dropped: u64,
    /// Of these, how many the server was told of.
    reported: u64,
    task: Option<Waker>,
}

fn with<R>(work: impl FnOnce(&mut Queue) -> R) -> R {
    critical_section::with(|cs| work(&mut QUEUE.borrow_ref_mut(cs)))
}

/// Returns how many lines were not sent, because the queue was full or sending failed.
pub(crate) fn dropped() -> u64 {
    with(|queue| queue.dropped)
}

/// Keeps lines from now on, where a server is given.
pub(super) fn configure(words: &Words, app: &'static Identity) -> Result<(), ArgumentError> {
    let server: Option<SyslogServer> = words.value(ARGUMENT.key())?;
    with(|queue| {
        queue.messages.clear();
        queue.app = server.map(|_| app);
    });
    Ok(())
}

/// Starts to send, where a server is given.
pub(crate) fn start(system: &System, words: &Words) -> Result<(), Error> {
    if let Some(SyslogServer(server)) = words.value(ARGUMENT.key())? {
        let network = system.network()?;
        system.spawn(send(network, server));
    }
    Ok(())
}

/// Waits for the last lines to be sent, but not for long.
pub(crate) async fn drain() {
    if with(|queue| queue.app.is_none()) {
        return;
    }
    for _ in 0..LAST.as_millis() / LOOK.as_millis() {
        if with(|queue| queue.messages.is_empty() && !queue.is_sending) {
            break;
        }
        Timer::after(LOOK).await;
    }
    Timer::after(NEIGHBOUR).await;
}

/// Puts a line into the queue.
pub(super) fn keep(record: &Record<'_>) {
    let Some(app) = with(|queue| queue.app.filter(|_| !queue.is_polled)) else {
        return;
    };
    // Not within the queue's turn: what is logged may log in turn while it is made text.
    let text = message(
        severity(record.level()),
        wall_clock::now(),
        app.name,
        record.target(),
        *record.args(),
    );
    with(|queue| {
        if queue.messages.len() >= WAITING {
            queue.dropped += 1;
            return;
        }
        queue.messages.push_back(text);
        if let Some(task) = queue.task.take() {
            task.wake();
        }
    });
}

/// RFC 5424, table 2.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Writes a message: `<14>1 2026-01-02T03:04:05Z - hello - net - text` (RFC 5424, 6). There is no process, and
/// the sender's address is in the datagram; the module is the message's kind.
fn message(
    severity: u8,
    time: Option<WallClock>,
    app: &str,
    module: &str,
    text: core::fmt::Arguments<'_>,
) -> String {
    let (app, module) = (name(app, 48), name(module, 32));
    let priority = FACILITY * 8 + severity;
    let mut message = format!("<{priority}>1 ");
    // A String takes everything. A time that is not known is `-` (6.2.3).
    let _ = match time {
        Some(time) => write!(message, "{time} - {app} - {module} - {text}"),
        None => write!(message, "- - {app} - {module} - {text}"),
    };
    message.truncate(message.floor_char_boundary(LONGEST));
    message
}

/// A name in a message's head: so many visible characters of ASCII (RFC 5424, 6), or `-`.
fn name(text: &str, longest: usize) -> String {
    let visible = text.chars().filter(char::is_ascii_graphic);
    let name: String = visible.take(longest).collect();
    match name.is_empty() {
        true => String::from("-"),
        false => name,
    }
}

/// The task: sends what is in the queue, for ever.
async fn send(network: Network, server: SocketAddr) {
    let socket = loop {
        match network.bind_udp(0).await {
            Ok(socket) => break socket,
            Err(error) => warn!(target: "syslog", "{error}"),
        }
        Timer::after(AGAIN).await;
    };
    let mut failed = false;
    loop {
        let message = next().await;
        let sent = quietly(send_one(&socket, server, &message)).await;
        with(|queue| queue.is_sending = false);
        if let Err(error) = &sent {
            with(|queue| queue.dropped += 1);
            // Once, and not to the server.
            if !failed {
                quietly(async { warn!(target: "syslog", "{server}: {error}") }).await;
            }
        }
        failed = sent.is_err();
    }
}

async fn send_one(socket: &UdpSocket, server: SocketAddr, message: &str) -> Result<(), Error> {
    socket.send_to(message.as_bytes(), server).await
}

/// Takes the next message; where some were dropped, a note of it.
async fn next() -> String {
    poll_fn(|context| {
        with(|queue| {
            let message = match queue.dropped - queue.reported {
                0 => queue.messages.pop_front(),
                // Behind those that there was room for.
                lost if queue.messages.is_empty() => {
                    queue.reported = queue.dropped;
                    Some(lost_note(queue.app, lost))
                }
                _ => queue.messages.pop_front(),
            };
            queue.is_sending = message.is_some();
            match message {
                Some(message) => Poll::Ready(message),
                None => {
                    queue.task = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    })
    .await
}

fn lost_note(app: Option<&'static Identity>, lost: u64) -> String {
    let app = app.map_or("-", |app| app.name);
    let warning = severity(Level::Warn);
    message(
        warning,
        None,
        app,
        "syslog",
        format_args!("{lost} log lines were dropped"),
    )
}

/// Runs `future` without its log lines' being queued.
async fn quietly<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        with(|queue| queue.is_polled = true);
        let polled = future.as_mut().poll(context);
        with(|queue| queue.is_polled = false);
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WallClockSource;

    #[test]
    fn messages_are_those_of_the_rfc() {
        let text = message(
            6,
            Some(WallClock {
                unix_us: 1_767_323_045_000_000,
                source: WallClockSource::Host,
                uncertainty_us: None,
            }),
            "hello",
            "net",
            format_args!("a {}", "b"),
        );
        assert_eq!(text, "<14>1 2026-01-02T03:04:05Z - hello - net - a b");
        let text = message(3, None, "", "a b\u{e4}", format_args!("äöü"));
        assert_eq!(text, "<11>1 - - - - ab - äöü");
        let text = message(7, None, &"a".repeat(99), &"m".repeat(99), format_args!(""));
        let expected = format!("<15>1 - - {} - {} - ", "a".repeat(48), "m".repeat(32));
        assert_eq!(text, expected);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let text = message(6, None, "a", "m", format_args!("{}", "ä".repeat(LONGEST)));
        assert!((LONGEST - 1..=LONGEST).contains(&text.len()));
        assert!(text.ends_with('ä'));
    }
}
