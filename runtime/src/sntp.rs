//! The time of day by SNTP (RFC 4330, and RFC 5905 where that says more), for boot argument `ntp=…`.
//!
//! A request goes to one server, from a new port each time; an answer to it (`message`) corrects the wall clock, and
//! when to ask again the `schedule` says. Nothing is authenticated: whoever is on the way to the server can set
//! the time, and whoever is not has to guess a nonce of 64 bits and a port.

mod message;
mod schedule;

use crate::{
    Error, System, WallClockSource,
    arguments::{ArgumentError, ArgumentValue, Words},
    wall_clock::{self, Correction},
};
#[cfg(feature = "dns")]
use alloc::string::String;
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};
use edge_nal::{UdpReceive, UdpSend};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use landfall_log::{debug, warn};
use log::{Level, log};
use message::{Answer, Refusal, RoundTrip};
use schedule::Schedule;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many datagrams that answer nothing are looked at for one that does.
const MOST_STRAY: usize = 64;
/// Room for a message with extensions, which are not read.
const ROOM: usize = 512;

/// Whom to ask, as `ntp=…` gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Server {
    Address(SocketAddr),
    /// By name, whose address may be another each time.
    #[cfg(feature = "dns")]
    Name(String, u16),
}

impl ArgumentValue for Server {
    #[cfg(not(feature = "dns"))]
    const EXPECTED: &'static str = "an address such as 10.0.2.2 or 10.0.2.2:123";
    #[cfg(feature = "dns")]
    const EXPECTED: &'static str = "an address such as 10.0.2.2, or a name, or either with :PORT";

    fn read(text: &str) -> Option<Self> {
        /// RFC 5905, 7.2
        const PORT: u16 = 123;
        let alone = text.parse().ok().map(|ip: IpAddr| (ip, PORT).into());
        if let Some(address) = alone.or_else(|| text.parse().ok()) {
            return Some(Self::Address(address)).filter(|_| address.port() != 0);
        }
        Self::read_name(text, PORT)
    }
}

impl Server {
    #[cfg(not(feature = "dns"))]
    fn read_name(_: &str, _: u16) -> Option<Self> {
        None
    }

    #[cfg(feature = "dns")]
    fn read_name(text: &str, port: u16) -> Option<Self> {
        let (name, port) = match text.split_once(':') {
            None => (text, port),
            Some((name, port)) => (name, port.parse().ok()?),
        };
        let is_part = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_');
        // What ends with a digit is a wrong address (RFC 1123, 2.1).
        let named = !name.is_empty() && !name.ends_with(|it: char| it.is_ascii_digit());
        let good = named && name.chars().all(is_part) && port != 0;
        good.then(|| Self::Name(name.into(), port))
    }

    /// Returns its address of now.
    // Without names there is nothing to wait for.
    #[cfg_attr(not(feature = "dns"), expect(unused_variables))]
    async fn resolve(&self, system: &System) -> Result<SocketAddr, Failure> {
        match self {
            Self::Address(address) => Ok(*address),
            #[cfg(feature = "dns")]
            Self::Name(name, port) => {
                let network = system.network().map_err(Failure::Network)?;
                let addresses = network.resolve(name).await.map_err(Failure::Network)?;
                let first = addresses.first().ok_or(Failure::Silence { stray: 0 })?;
                Ok(SocketAddr::new(*first, *port))
            }
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            #[cfg(feature = "dns")]
            Self::Name(name, _) => f.write_str(name),
        }
    }
}

/// Why there is no answer to believe.
#[derive(Debug)]
enum Failure {
    /// It could not be asked.
    Network(Error),
    /// No answer came; so many other datagrams did.
    Silence { stray: usize },
    /// The answer is not to be believed.
    Refused(Refusal),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => error.fmt(f),
            Self::Silence { stray: 0 } => f.write_str("no answer"),
            Self::Silence { stray } => write!(f, "no answer, and {stray} datagrams that are none"),
            Self::Refused(refusal) => write!(f, "the answer is not believed: {refusal}"),
        }
    }
}

/// Starts to ask the server that the boot arguments name, if they do.
///
/// # Errors
/// [`ArgumentError::BadValue`].
pub(crate) fn start(system: &System, words: &Words) -> Result<(), ArgumentError> {
    if let Some(server) = words.value("ntp")? {
        system.spawn(run(system.clone(), server));
    }
    Ok(())
}

async fn run(system: System, server: Server) {
    let mut schedule = Schedule::new();
    loop {
        let wait_s = match ask(&system, &server).await {
            Ok((answer, address)) => {
                let asked_before = schedule.was_answered();
                apply(answer, address, asked_before);
                schedule.after_answer()
            }
            Err(failure) => {
                // Once for each time that it goes silent.
                let level = match schedule.is_news() {
                    true => Level::Warn,
                    false => Level::Debug,
                };
                log!(target: "clock", level, "asking {server}: {failure}");
                match schedule.after_failure(failure.refusal()) {
                    Some(wait_s) => wait_s,
                    None => return warn!(target: "clock", "{server} is asked no more"),
                }
            }
        };
        debug!(target: "clock", "{server} is asked again in {wait_s} s");
        // Up to an eighth later, so that machines that were started together do not ask together.
        let spread_ms = random(&system) % (wait_s * 125);
        Timer::after_millis(wait_s * 1000 + spread_ms).await;
    }
}

impl Failure {
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(*refusal),
            _ => None,
        }
    }
}

/// Corrects the wall clock by an answer. What is said each time is said in detail only.
fn apply(answer: Answer, server: SocketAddr, asked_before: bool) {
    let source = WallClockSource::Sntp {
        server,
        stratum: answer.stratum,
    };
    let now_us = Instant::now().as_micros();
    let correction = wall_clock::correct(now_us, answer.sample, source);
    let level = match correction {
        Correction::Slewed(_) if asked_before => Level::Debug,
        Correction::Stepped(_) if asked_before => Level::Warn,
        _ => Level::Info,
    };
    let uncertainty_us = answer.sample.uncertainty_us;
    if let Some(time) = wall_clock::now() {
        log!(
            target: "clock",
            level,
            "{time} from {source}, within {uncertainty_us} us; {correction}"
        );
    }
}

/// Asks the server from a port of its own.
async fn ask(system: &System, server: &Server) -> Result<(Answer, SocketAddr), Failure> {
    let address = server.resolve(system).await?;
    let network = system.network().map_err(Failure::Network)?;
    let socket = network.bind_udp(0).await.map_err(Failure::Network)?;
    let answer = query(socket, address, random(system)).await?;
    Ok((answer, address))
}

fn random(system: &System) -> u64 {
    let mut bytes = [0; 8];
    system.fill_random(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Sends a request and waits for its answer, past whatever else comes.
async fn query<S>(mut socket: S, server: SocketAddr, nonce: u64) -> Result<Answer, Failure>
where
    S: UdpSend + UdpReceive,
    Error: From<S::Error>,
{
    let sent_us = Instant::now().as_micros();
    let sent = socket.send(server, &message::request(nonce)).await;
    sent.map_err(|error| Failure::Network(error.into()))?;
    let mut stray = 0;
    let answer = async {
        let mut room = [0; ROOM];
        while stray < MOST_STRAY {
            let received = socket.receive(&mut room).await;
            let received_us = Instant::now().as_micros();
            if let Ok((length, from)) = received
                && from == server
                && message::is_answer(&room[..length.min(ROOM)], nonce)
                && let Some(message) = room.first_chunk()
            {
                let way = RoundTrip {
                    sent_us,
                    received_us,
                };
                return message::read(message, way).map_err(Failure::Refused);
            }
            stray += 1;
        }
        Err(Failure::Silence { stray })
    };
    match with_timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::Silence { stray }),
    }
}

#[cfg(test)]
mod tests;
