//! Instructions that a guest executes for one request, one connection, one megabyte, one datagram.
//!
//! They are QEMU's own count (`-icount shift=0`, asked by `query-replay`) before and after a number of them, over a tap
//! as all load, less what the guest executes in that time anyway. Other load on this machine does not change them
//! much; when frames come in the middle of work, they are taken together, and that differs from run to run.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Effort;
use super::boot::SETTLE;
use super::clients::{self, Limit};
use super::figure::{Figure, Sample};
use super::load::Contender;
use super::scenarios::{Direction, Service};
use super::subject::Subject;
use super::table::Table;
use crate::network::Namespace;
use crate::process::check_stopped;
use crate::qmp::Qmp;
use crate::server::{Running, Server};

/// What a guest is asked for before anything is counted: it fills its caches and tables.
const WARM_UP: u64 = 100;

/// How long a guest is watched at rest.
const IDLE: Duration = Duration::from_secs(2);

/// So many connections that a system's cost for each shows. Linux is not asked on them: it is minutes about it when its
/// instructions are counted, and its nginx as packaged serves no more than 768.
const MANY: u32 = 1000;

/// Bytes that iperf3 sends, as it is told, or receives.
const BULK: &str = "32M";

const HOW: &str = "QEMU's count (`-icount shift=0`, `query-replay`) before and after many, less those at rest; over a tap";

/// What is counted.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// A request on one of so many connections that are kept.
    Request { connections: u32 },
    /// A connection for one request.
    Connection,
    /// A million bytes of bulk TCP in one stream.
    Megabyte(Direction),
    /// A datagram that comes back.
    Datagram,
}

impl Unit {
    const ALL: [Unit; 7] = [
        Unit::Request { connections: 1 },
        Unit::Request { connections: 64 },
        Unit::Connection,
        Unit::Request { connections: MANY },
        Unit::Megabyte(Direction::In),
        Unit::Megabyte(Direction::Out),
        Unit::Datagram,
    ];

    fn service(self) -> Service {
        match self {
            Unit::Request { .. } | Unit::Connection => Service::Web,
            Unit::Megabyte(_) => Service::Bulk,
            Unit::Datagram => Service::Echo,
        }
    }

    /// Whether `contender` is asked for it.
    fn suits(self, contender: &Contender<'_>) -> bool {
        let many = matches!(self, Unit::Request { connections: MANY });
        contender.offers(self.service()) && !(many && contender.is_linux)
    }

    fn measure(self) -> String {
        match self {
            Unit::Request { connections } => {
                format!("instructions/request (connections: {connections})")
            }
            Unit::Connection => "instructions/connection, opened, asked and closed".to_owned(),
            Unit::Megabyte(Direction::In) => "instructions/MB of bulk to the guest".to_owned(),
            Unit::Megabyte(Direction::Out) => "instructions/MB of bulk from the guest".to_owned(),
            Unit::Datagram => "instructions/UDP echo".to_owned(),
        }
    }

    /// Asks for many; returns how many came, and what went wrong.
    fn pass(self, server: &mut Running) -> Result<(f64, Vec<String>)> {
        let web = server.web();
        let outcome = match self {
            Unit::Request { connections } => {
                let count = u64::from(connections * 40).max(400);
                clients::own(server, "keep", &web, connections, Limit::Count(count))?
            }
            Unit::Connection => clients::own(server, "close", &web, 1, Limit::Count(200))?,
            Unit::Datagram => {
                let address = clients::echo_address(server);
                clients::own(server, "echo", &address, 1, Limit::Count(500))?
            }
            Unit::Megabyte(direction) => {
                let mut command = clients::iperf3_command(server, direction, 1)?;
                command.args(["--bytes", BULK]);
                let report = server.client(command)?;
                return Ok((clients::received(&report, "bytes")? / 1e6, Vec::new()));
            }
        };
        // Some hundreds or thousands.
        Ok((outcome.done as f64, outcome.errors))
    }
}

/// Counts for each of `contenders`, which QEMU runs.
pub(super) fn measure(
    table: &mut Table,
    contenders: &[(Contender<'_>, &Subject)],
    effort: Effort,
) -> Result<()> {
    if let Some(obstacle) = Namespace::obstacle() {
        anyhow::bail!("counting {obstacle}");
    }
    for (contender, subject) in contenders {
        let mut counted = Counted::start(subject)?;
        if contender.offers(Service::Web) {
            let web = counted.server.web();
            clients::own(&mut counted.server, "keep", &web, 1, Limit::Count(WARM_UP))?;
        }
        counted.server.rest(SETTLE)?;
        let idle = counted.idle()?;
        let units = Unit::ALL.into_iter();
        for unit in units.filter(|unit| unit.suits(contender)) {
            let samples: Vec<Result<Sample>> = (0..effort.rounds)
                .map(|_| counted.sample(unit, idle))
                .collect();
            check_stopped()?;
            counted.server.look()?;
            let figure: Figure = samples.into_iter().collect();
            contender.column(table).add(&unit.measure(), figure, HOW);
        }
    }
    Ok(())
}

/// A guest whose instructions are counted.
struct Counted {
    server: Running,
    qmp: Qmp,
    /// Where the control socket is.
    _folder: tempfile::TempDir,
}

impl Counted {
    fn start(subject: &Subject) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("qmp");
        let words = ["-icount", "shift=0"].map(str::to_owned);
        let words = words.into_iter().chain(Qmp::words(&socket));
        let subject = subject.clone().with_qemu_words(words);
        let server: &dyn Server = &subject;
        Ok(Self {
            server: Running::start(server)?,
            qmp: Qmp::connect(&socket)?,
            _folder: folder,
        })
    }

    /// Instructions in a second of rest.
    fn idle(&mut self) -> Result<f64> {
        let began = Instant::now();
        let before = self.qmp.instructions()?;
        self.server.rest(IDLE)?;
        let count = self.qmp.instructions()? - before;
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    /// Instructions for one of a unit, where `idle` are executed in a second anyway.
    fn sample(&mut self, unit: Unit, idle: f64) -> Result<Sample> {
        let began = Instant::now();
        let before = self.qmp.instructions()?;
        let (count, errors) = unit.pass(&mut self.server)?;
        // Acknowledgements and timers that belong to it come soon after.
        self.server.rest(Duration::from_millis(500))?;
        let instructions = self.qmp.instructions()? - before;
        ensure!(count > 0.0, "none came: {}", errors.join(", "));
        let anyway = idle * began.elapsed().as_secs_f64();
        Ok(Sample {
            value: (instructions as f64 - anyway).max(0.0) / count,
            kept: None,
            errors,
        })
    }
}
