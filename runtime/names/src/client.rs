//! The client: asks servers for the addresses of a name.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype, ToName};
use domain::rdata::{A, Aaaa};
use edge_nal::{UdpReceive, UdpSend};
use embassy_time::{Duration, Instant, with_deadline};

use crate::{Buffer, LONGEST, Name};

/// The port of DNS servers.
const PORT: u16 = 53;
/// How long a server has to answer, and how often each is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// Those of IPv4, by A records.
    V4,
    /// Those of IPv6, by AAAA records.
    V6,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResolveError<E> {
    /// It cannot be a name: a part of it is empty or longer than 63 bytes, or the whole than 255.
    InvalidName,
    /// No server is known to ask.
    NoServer,
    /// A server says that there is no such name.
    NoSuchName,
    /// There is the name, and it has no such address.
    NoAddress,
    /// No server could say; the last one's answer code (RFC 1035, 4.1.1).
    Failed(u8),
    /// No server answered.
    TimedOut,
    /// The socket failed.
    Socket(E),
}

impl<E: fmt::Display> fmt::Display for ResolveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName => f.write_str("this is not a name of a host"),
            Self::NoServer => f.write_str("no name server is known"),
            Self::NoSuchName => f.write_str("there is no such name"),
            Self::NoAddress => f.write_str("it has no such address"),
            Self::Failed(code) => write!(f, "the name server could not say (code {code})"),
            Self::TimedOut => f.write_str("no name server answered"),
            Self::Socket(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for ResolveError<E> {}

/// Asks `servers`, one after the other, for the addresses of `name`. `open` opens a socket whose port others
/// cannot guess, and `id` is a number that they cannot guess: nothing else tells a true answer from a
/// forged one (RFC 5452). There is a socket for each question, so that one which cannot be sent is in no
/// other's way.
///
/// # Errors
/// [`ResolveError`].
pub async fn resolve<S, E>(
    open: impl AsyncFn() -> Result<S, E>,
    servers: &[IpAddr],
    name: &str,
    family: Family,
    id: u16,
) -> Result<Vec<IpAddr>, ResolveError<E>>
where
    S: UdpSend<Error = E> + UdpReceive<Error = E>,
{
    let name = Name::from_chars(name.chars()).map_err(|_| ResolveError::InvalidName)?;
    let query = query(&name, family, id).ok_or(ResolveError::InvalidName)?;
    let mut outcome = match servers {
        [] => return Err(ResolveError::NoServer),
        _ => ResolveError::TimedOut,
    };
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        let server = SocketAddr::new(*server, PORT);
        let mut socket = open().await.map_err(ResolveError::Socket)?;
        // One that cannot be reached is as good as one that is silent.
        if socket.send(server, query.as_slice()).await.is_err() {
            continue;
        }
        let until = Instant::now() + PATIENCE;
        match with_deadline(until, answer(&mut socket, server, &query, family)).await {
            Ok(Ok(addresses)) => return Ok(addresses),
            Ok(Err(ResolveError::Failed(code))) => outcome = ResolveError::Failed(code),
            Ok(Err(known)) => return Err(known),
            Err(_) => {}
        }
    }
    Err(outcome)
}

fn query(name: &Name, family: Family, id: u16) -> Option<Message<Buffer>> {
    let mut builder = MessageBuilder::from_target(Buffer::default()).ok()?;
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, kind(family))).ok()?;
    Some(builder.into_message())
}

fn kind(family: Family) -> Rtype {
    match family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    }
}

/// Waits for the server's answer to `query`; everything else is thrown away.
async fn answer<S, E>(
    socket: &mut S,
    server: SocketAddr,
    query: &Message<Buffer>,
    family: Family,
) -> Result<Vec<IpAddr>, ResolveError<E>>
where
    S: UdpReceive<Error = E>,
{
    let mut buffer = [0; LONGEST];
    loop {
        let received = socket.receive(&mut buffer).await;
        let (length, from) = received.map_err(ResolveError::Socket)?;
        let message = buffer.get(..length).map(Message::from_octets);
        let Some(Ok(message)) = message else {
            continue;
        };
        let same = (from.ip().to_canonical(), from.port()) == (server.ip(), server.port());
        if same && message.is_answer(query) {
            return addresses(&message, family);
        }
    }
}

/// Reads the addresses out of an answer.
fn addresses<E>(message: &Message<&[u8]>, family: Family) -> Result<Vec<IpAddr>, ResolveError<E>> {
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Err(ResolveError::NoSuchName),
        other => return Err(ResolveError::Failed(other.to_int())),
    }
    // The name that aliases lead to.
    let broken = ResolveError::Failed(Rcode::FORMERR.to_int());
    let Some(name) = message.canonical_name() else {
        return Err(broken);
    };
    let Ok(records) = message.answer() else {
        return Err(broken);
    };
    let mut found = Vec::new();
    match family {
        Family::V4 => found.extend(
            (records.limit_to_in::<A>().flatten())
                .filter(|record| record.owner().name_eq(&name))
                .map(|record| IpAddr::V4(record.data().addr())),
        ),
        Family::V6 => found.extend(
            (records.limit_to_in::<Aaaa>().flatten())
                .filter(|record| record.owner().name_eq(&name))
                .map(|record| IpAddr::V6(record.data().addr())),
        ),
    }
    match found.is_empty() {
        true => Err(ResolveError::NoAddress),
        false => Ok(found),
    }
}
