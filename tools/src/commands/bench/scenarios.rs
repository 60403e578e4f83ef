//! What servers are loaded with, and the rows of the table that come of it.

use super::figure::Sample;
use super::{Effort, clients};
use crate::server::Running;
use anyhow::Result;

/// How many connections wrk holds.
const CONNECTIONS: [u32; 5] = [1, 10, 64, 256, MANY];

/// A number of connections that is large for a small machine.
const MANY: u32 = 1000;

/// How many connections are busy beside idle ones.
const BUSY: u32 = 10;

/// How many connections are opened at once.
const BURST: u32 = 256;

/// Requests with so many connections are asked for longer: it takes a slow server a second to accept them.
const LONGER_FROM: u32 = 500;

pub(super) const HOW_LOAD: &str = "`wrk -t1`, keep-alive, on this machine; over a tap (on Xen: dom0's bridge), or loopback for sockets";
const HOW_IDLE: &str = "the same while others stay open, each of which was served once; how many of them were closed is an error";
const HOW_CLOSE: &str = "connect, ask with `Connection: close`, read to the server's end";
const HOW_BURST: &str = "opened at once, each asks for `/` and stays open: how many are served";
const HOW_BULK: &str =
    "`iperf3`, received; on this machine, as above (on Xen: in dom0, over its bridge)";
const HOW_ECHO: &str = "datagrams of 64 bytes that come back; those lost are an error";

/// What a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// A page.
    Web,
    /// Bulk TCP, by iperf3's protocol.
    Bulk,
    /// An echo of UDP datagrams.
    Echo,
}

impl Service {
    /// What only test guests of ours offer.
    pub(super) const OF_BULK_GUEST: [Service; 2] = [Service::Bulk, Service::Echo];
    /// What a Linux guest offers.
    pub(super) const ALL: [Service; 3] = [Service::Web, Service::Bulk, Service::Echo];
}

/// A way to load a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Requests on connections that are kept.
    Requests { connections: u32 },
    /// Requests on [`BUSY`] connections while [`MANY`] others are idle.
    BesideIdle,
    /// A connection for each request, so many at a time.
    Close { clients: u32 },
    /// [`BURST`] connections at once.
    Burst,
    /// Bulk TCP.
    Bulk { direction: Direction, streams: u32 },
    /// Small datagrams, so many under way.
    Echo { datagrams: u32 },
}

/// Which way the bytes of bulk TCP go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

impl Direction {
    /// The option of iperf3's client.
    pub(super) fn option(self) -> Option<&'static str> {
        match self {
            Direction::In => None,
            Direction::Out => Some("-R"),
        }
    }

    /// The name of the row.
    pub(super) fn measure(self, streams: u32) -> String {
        let way = match self {
            Direction::In => "to",
            Direction::Out => "from",
        };
        match streams {
            1 => format!("bulk {way} the guest, Mbit/s"),
            _ => format!("bulk {way} the guest, {streams} streams, Mbit/s"),
        }
    }
}

impl Scenario {
    /// All of them, in the order of the table.
    pub(super) fn all() -> Vec<Self> {
        let mut all: Vec<Self> = CONNECTIONS
            .into_iter()
            .map(|connections| Self::Requests { connections })
            .collect();
        all.extend([Self::BesideIdle, Self::Burst]);
        all.extend([1, 10].map(|clients| Self::Close { clients }));
        for streams in [1, 4] {
            let directions = [Direction::In, Direction::Out];
            all.extend(directions.map(|direction| Self::Bulk { direction, streams }));
        }
        all.extend([1, 32].map(|datagrams| Self::Echo { datagrams }));
        all
    }

    /// What a server must offer for it.
    pub(super) fn service(self) -> Service {
        match self {
            Self::Requests { .. } | Self::BesideIdle | Self::Close { .. } | Self::Burst => {
                Service::Web
            }
            Self::Bulk { .. } => Service::Bulk,
            Self::Echo { .. } => Service::Echo,
        }
    }

    /// The name of the row.
    pub(super) fn measure(self) -> String {
        match self {
            Self::Requests { connections } => format!("requests/s (connections: {connections})"),
            Self::BesideIdle => {
                format!("requests/s (connections: {BUSY}, beside {MANY} idle ones)")
            }
            Self::Close { clients } => format!("connections/s ({clients} at a time)"),
            Self::Burst => format!("{BURST} connections at once, served"),
            Self::Bulk { direction, streams } => direction.measure(streams),
            Self::Echo { datagrams } => format!("UDP echoes/s ({datagrams} under way)"),
        }
    }

    /// How it is measured.
    pub(super) fn how(self) -> &'static str {
        match self {
            Self::Requests { .. } => HOW_LOAD,
            Self::BesideIdle => HOW_IDLE,
            Self::Close { .. } => HOW_CLOSE,
            Self::Burst => HOW_BURST,
            Self::Bulk { .. } => HOW_BULK,
            Self::Echo { .. } => HOW_ECHO,
        }
    }

    /// The name and the explanation of the row for [`Sample::kept`].
    pub(super) const KEPT: [&'static str; 2] = [
        "of the rate without idle ones, as a ratio",
        "the rate beside idle connections by the rate of the seconds before, without them",
    ];

    /// Loads the server once.
    pub(super) fn sample(self, server: &mut Running, effort: Effort) -> Result<Sample> {
        let seconds = effort.load_seconds;
        match self {
            Self::Requests { connections } => {
                let longer = u64::from(connections >= LONGER_FROM);
                clients::wrk(server, connections, seconds + 2 * longer)
            }
            Self::BesideIdle => clients::wrk_beside_idle(server, BUSY, MANY, seconds),
            Self::Close { clients } => clients::close(server, clients, seconds),
            Self::Burst => clients::burst(server, BURST),
            Self::Bulk { direction, streams } => {
                clients::iperf3(server, direction, streams, seconds)
            }
            Self::Echo { datagrams } => clients::echo(server, datagrams, seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<String> = Scenario::all().into_iter().map(Scenario::measure).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
