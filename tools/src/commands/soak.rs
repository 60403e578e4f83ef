//! `cargo landfall soak`: a guest under mixed load over a bad cable, for as long as one likes; at the end it has to be as it
//! was.
//!
//! [`soaked`] is the guest, [`cable`] what is between it and its clients, [`troubles`] what happens to both while clients
//! ask, [`metrics`] what is compared and [`mod@report`] what is printed.

mod cable;
mod domain;
mod metrics;
mod process;
mod report;
mod soaked;
mod troubles;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::cable::Cable;
use self::metrics::Metrics;
use self::report::report;
use self::soaked::Soaked;
use self::troubles::{NO_FAULTS, PHASES, Trouble};
use super::loader::Outcome;
use super::wire::Faults;
use crate::process::ChildGuard;
use crate::qemu::MemorySize;
use crate::registry::Workspace;
use crate::server::Running;

/// How long the guest may take to be as it was: TIME-WAIT is of 10 s, and an idle connection of 30 s.
const REST: Duration = Duration::from_secs(90);
/// After that time what is kept for connections to come is given back.
const SHORT_REST: Duration = Duration::from_secs(5);
/// How long one kind of trouble lasts.
const PHASE: Duration = Duration::from_secs(15);
/// How long clients ask before something goes away, and how long it is away then.
const MOMENT: Duration = Duration::from_secs(2);

/// Loads a guest for a long time, over a cable with faults
///
/// Between a guest and its clients is a cable that loses, repeats, delays and corrupts frames in turns, and is now and then out
/// for some seconds; the guest itself is now and then paused. The clients: some that ask again and again, some that
/// open a connection for each request, some that misbehave. At the end connections and memory have to be as they
/// were, and no polite request may have failed. Needs root, for a network namespace.
///
/// Boards virt and virt-armv7 are machines of QEMU's. Boards xenvm and cubieboard2 are guests of the Xen lab, which is brought up
/// if it is not: there the network card's backend in dom0 goes and comes back, too, and grants and event channels have to be
/// as they were. Board unix is a process, whose descriptors have to be: with this machine's sockets there is no cable, and
/// with --tap, an IP stack of its own, there is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall soak                           half an hour of 2048 on board virt\n  \
    cargo landfall soak --minutes 5 --seed 7      other faults, the same each time\n  \
    cargo landfall soak --board virt-armv7 --memory 16M\n  \
    cargo landfall soak --board unix --tap        our IP stack in a process\n  \
    cargo landfall soak --board xenvm             on Xen; LANDFALL_LAB names another lab, as for lab xen")]
pub(crate) struct Arguments {
    /// An app with /metrics
    #[arg(default_value = "2048")]
    app: String,
    /// The board: virt, virt-armv7, unix, xenvm or cubieboard2
    #[arg(long, default_value = "virt")]
    board: String,
    /// How long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// What the faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The guest's memory, such as 16M [default: 64M]
    #[arg(long)]
    memory: Option<MemorySize>,
    /// Of board unix: with an IP stack of its own, on a tap
    #[arg(long)]
    tap: bool,
}

/// The clients of a phase: how they ask, and how many do.
const CLIENTS: [(&str, u32); 3] = [("keep", 8), ("close", 4), ("rude", 4)];

/// Builds, loads, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (soaked, namespace) = soaked::prepare(&Workspace::load()?, arguments)?;
    let server = Running::start_in(Rc::new(namespace), &*soaked)?;
    let cable = soaked.cable_end();
    let cable = cable.map(|end| Cable::start(&server, &end, arguments.seed));
    let mut soak = Soak {
        cable: cable.transpose()?,
        server,
        soaked: &*soaked,
    };
    soak.warm_up()?;
    let before = soak.settled(None)?;
    let name = format!("{} on {}", arguments.app, arguments.board);
    eprintln!("soak: {name}, {} min; before: {before}", arguments.minutes);
    let sums = soak.load_for(Duration::from_secs(arguments.minutes * 60))?;
    let after = soak.settled(Some(&before));
    let done = soak.cable.map(|cable| cable.end(&mut soak.server));
    Ok(report(&before, after, &sums, done.transpose()?))
}

/// A guest at work.
struct Soak<'a> {
    cable: Option<Cable>,
    server: Running,
    soaked: &'a dyn Soaked,
}

impl Soak<'_> {
    /// Loads it for what is made at first use and kept for good.
    fn warm_up(&mut self) -> Result<()> {
        eprintln!("soak: {} s of load to warm up", PHASE.as_secs());
        self.load(Trouble::None)?;
        self.settled(None)?;
        self.server.rest(SHORT_REST)
    }

    /// One phase after the other; returns what came of all.
    fn load_for(&mut self, time: Duration) -> Result<Vec<(&'static str, Outcome)>> {
        let end = Instant::now() + time;
        let mut sums = CLIENTS.map(|(name, _)| (name, Outcome::default()));
        let suffered: Vec<_> = PHASES
            .into_iter()
            .filter(|(_, trouble)| self.can_have(*trouble))
            .collect();
        for (name, trouble) in suffered.into_iter().cycle() {
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            if left == 0 {
                break;
            }
            let outcomes = self.load(trouble)?;
            let rates = outcomes.iter().zip(CLIENTS).map(|(it, (name, _))| {
                format!("{name} {:.0}/s", it.done as f64 / it.seconds.max(0.1))
            });
            let rates = rates.collect::<Vec<_>>().join(", ");
            eprintln!("soak: {left:>5} s left; {name}: {rates}");
            for ((_, sum), outcome) in sums.iter_mut().zip(outcomes) {
                sum.done += outcome.done;
                let errors = outcome.errors.into_iter();
                sum.errors
                    .extend(errors.map(|error| format!("{error} ({name})")));
            }
        }
        self.set(&NO_FAULTS)?;
        Ok(sums.into())
    }

    fn can_have(&self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::None | Trouble::Paused => true,
            Trouble::Faults(_) | Trouble::CableOut => self.cable.is_some(),
            Trouble::NoBackend => self.soaked.domain().is_some(),
        }
    }

    fn set(&mut self, faults: &Faults) -> Result<()> {
        match &mut self.cable {
            Some(cable) => cable.set(faults),
            None => Ok(()),
        }
    }

    /// Runs the clients of a phase, all at once.
    fn load(&mut self, trouble: Trouble) -> Result<Vec<Outcome>> {
        match trouble {
            Trouble::Faults(faults) => self.set(&faults)?,
            _ => self.set(&NO_FAULTS)?,
        }
        let mut clients = Vec::new();
        for (name, count) in CLIENTS {
            clients.push(self.client(name, count)?);
        }
        self.server.rest(MOMENT)?;
        self.suffer(trouble)?;
        let mut outcomes = Vec::new();
        for (mut client, output) in clients {
            while client.try_wait()?.is_none() {
                self.server.look()?;
            }
            let report = std::fs::read_to_string(output.path())?;
            outcomes.push(
                serde_json::from_str(&report)
                    .with_context(|| format!("a client printed {report:?}"))?,
            );
        }
        Ok(outcomes)
    }

    /// Starts a client; returns it and where it prints what came of it.
    fn client(&self, name: &str, count: u32) -> Result<(ChildGuard, tempfile::NamedTempFile)> {
        let mut command = self.server.own(&[
            "loader",
            name,
            &self.server.web(),
            "--clients",
            &count.to_string(),
            "--seconds",
            &PHASE.as_secs().to_string(),
        ])?;
        let output = tempfile::NamedTempFile::new()?;
        Ok((ChildGuard::spawn(command.stdout(output.reopen()?))?, output))
    }

    /// Has something be away for a moment.
    fn suffer(&mut self, trouble: Trouble) -> Result<()> {
        match (trouble, self.soaked.domain()) {
            (Trouble::CableOut, _) => {
                self.set(&Faults {
                    cut: true,
                    ..NO_FAULTS
                })?;
                self.server.rest(MOMENT)?;
                self.set(&NO_FAULTS)
            }
            (Trouble::Paused, _) => {
                self.soaked.pause(&self.server)?;
                self.server.rest(MOMENT)?;
                self.soaked.resume(&self.server)
            }
            (Trouble::NoBackend, Some(domain)) => {
                domain.unbind()?;
                self.server.rest(MOMENT)?;
                domain.bind()
            }
            _ => Ok(()),
        }
    }

    /// Waits until the guest has no connection but the one that asks, and has no more of anything than `before`.
    fn settled(&mut self, before: Option<&Metrics>) -> Result<Metrics> {
        let end = Instant::now() + REST;
        loop {
            let metrics = self.metrics()?;
            let excess = before.map_or(Vec::new(), |before| metrics.excess(before));
            if metrics.is_at_rest() && excess.is_empty() {
                return Ok(metrics);
            }
            if Instant::now() >= end {
                let excess = match excess.is_empty() {
                    true => "connections".to_owned(),
                    false => excess.join(", "),
                };
                bail!(
                    "after {} s of rest there is more than before ({excess}): {metrics}",
                    REST.as_secs()
                );
            }
            self.server.rest(Duration::from_secs(1))?;
        }
    }

    fn metrics(&mut self) -> Result<Metrics> {
        let web = self.server.web();
        let command = self.server.own(&["loader", "fetch", &web, "/metrics"])?;
        let mut metrics = Metrics::read(&self.server.client(command)?)?;
        self.soaked.look(&self.server, &mut metrics)?;
        metrics
            .memory
            .context("the app says nothing of its heap at /metrics")?;
        Ok(metrics)
    }
}
