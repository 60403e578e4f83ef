//! `cargo landfall soak`: a guest under mixed load over a bad cable, for as long as one likes; at the end it has to be as it
//! was.

mod metrics;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::metrics::Metrics;
use super::build;
use super::loader::Outcome;
use super::wire::{Done, Faults};
use crate::cargo::Compilers;
use crate::image::Cpu;
use crate::network::{GUEST, GUEST_ARGUMENTS, Namespace, TAP};
use crate::process::{self, ChildGuard};
use crate::qemu::{Machine, MemorySize, Network};
use crate::registry::Workspace;
use crate::server::{Running, Server};
use crate::setup::programs;

/// UDP ports of 127.0.0.1 in the namespace, in which nobody else is.
const WIRE_PORT: u16 = 7001;
const QEMU_PORT: u16 = 7002;
/// Bytes of heap that may be in use afterwards beyond what was before: lists that have grown, and a log.
const SLACK: f64 = 64.0 * 1024.0;
/// How long the guest may take to be as it was: TIME-WAIT is of 10 s, and an idle connection of 30 s.
const REST: Duration = Duration::from_secs(90);
/// After that time what is kept for connections to come is given back.
const SHORT_REST: Duration = Duration::from_secs(5);
/// How long one kind of fault lasts.
const PHASE: Duration = Duration::from_secs(15);

/// Loads a guest for a long time, over a cable with faults
///
/// A guest serves in QEMU. Between it and its clients is a cable that loses, repeats, delays and corrupts frames in turns, and is
/// now and then out for some seconds. The clients: some that ask again and again, some that open a
/// connection for each request, some that misbehave. At the end connections and memory have to be as they were, and
/// no polite request may have failed. Needs root, for a network namespace.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall soak                           half an hour of 2048 on board virt\n  \
    cargo landfall soak --minutes 5 --seed 7      other faults, the same each time\n  \
    cargo landfall soak --board virt-armv7 --memory 16M")]
pub(crate) struct Arguments {
    /// An app with /metrics
    #[arg(default_value = "2048")]
    app: String,
    /// The board: virt or virt-armv7
    #[arg(long, default_value = "virt")]
    board: String,
    /// How long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// What the faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The guest's memory, such as 16M
    #[arg(long, default_value = "64M")]
    memory: MemorySize,
}

/// The faults of each phase, in turns.
const PHASES: [(&str, Faults); 6] = [
    ("no faults", NONE),
    ("1 % lost", Faults { loss: 10, ..NONE }),
    (
        "3 % late and 1 % twice",
        Faults {
            reorder: 30,
            duplicate: 10,
            ..NONE
        },
    ),
    (
        "1 % corrupted",
        Faults {
            corrupt: 10,
            ..NONE
        },
    ),
    (
        "10 ms each way, 0.5 % lost",
        Faults {
            delay_ms: 10,
            loss: 5,
            ..NONE
        },
    ),
    ("the cable is out for 2 s", Faults { cut: true, ..NONE }),
];
const NONE: Faults = Faults {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    corrupt: 0,
    delay_ms: 0,
    cut: false,
};
/// How long the cable is out; the rest of that phase is without faults.
const OUT_FOR: Duration = Duration::from_secs(2);

/// The clients of a phase: how they ask, and how many do.
const CLIENTS: [(&str, u32); 3] = [("keep", 8), ("close", 4), ("rude", 4)];

/// An app on QEMU's machine, at the far end of the cable.
struct Soaked {
    cpu: Cpu,
    machine: Machine,
}

impl Server for Soaked {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        let mut command = namespace.command(self.cpu.qemu().get()?)?;
        command.args(self.machine.words());
        Ok(command)
    }

    fn host(&self) -> &str {
        GUEST
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// Builds, loads, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    let cpu = match (board.cpu(), board.loader) {
        (Some(cpu), None) => cpu,
        _ => bail!(
            "soak is for boards virt and virt-armv7; {} is another",
            board.name
        ),
    };
    if let Some(obstacle) = Namespace::obstacle() {
        bail!("soak {obstacle}");
    }
    programs::get_all(&[cpu.qemu(), programs::IP])?;
    let folder = build::images_folder(&workspace, &board);
    let image = build::build(&mut Compilers::new(&workspace), &app, &board, &folder)?;
    let network = Network::Wire {
        own: QEMU_PORT,
        other: WIRE_PORT,
    };
    let mut machine = Machine::new(cpu, &image.path, network);
    machine.memory = arguments.memory;
    machine.arguments.extend(GUEST_ARGUMENTS.map(str::to_owned));
    let mut server = Running::start(&Soaked { cpu, machine })?;
    let mut cable = Cable::start(&server, arguments.seed)?;

    eprintln!(
        "soak: {} s of load for what is kept for good",
        PHASE.as_secs()
    );
    load(&mut server)?;
    settled(&mut server, None)?;
    server.rest(SHORT_REST)?;
    let before = settled(&mut server, None)?;
    eprintln!(
        "soak: {}, {} min; before: {before}",
        app.name, arguments.minutes
    );
    let end = Instant::now() + Duration::from_secs(arguments.minutes * 60);
    let mut sums = CLIENTS.map(|(name, _)| (name, Outcome::default()));
    for (name, faults) in PHASES.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        cable.set(faults)?;
        if faults.cut {
            server.rest(OUT_FOR)?;
            cable.set(&NONE)?;
        }
        let outcomes = load(&mut server)?;
        let rates = outcomes
            .iter()
            .zip(CLIENTS)
            .map(|(it, (name, _))| format!("{name} {:.0}/s", it.done as f64 / it.seconds.max(0.1)));
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        eprintln!(
            "soak: {left:>5} s left; {name}: {}",
            rates.collect::<Vec<_>>().join(", ")
        );
        for ((_, sum), outcome) in sums.iter_mut().zip(outcomes) {
            sum.done += outcome.done;
            sum.errors.extend(
                outcome
                    .errors
                    .into_iter()
                    .map(|error| format!("{error} ({name})")),
            );
        }
    }
    cable.set(&NONE)?;
    let after = settled(&mut server, Some(&before));
    let done = cable.end(&mut server)?;
    report(&before, after, &sums, done)
}

/// Prints the result.
fn report(
    before: &Metrics,
    after: Result<Metrics>,
    sums: &[(&str, Outcome)],
    done: Done,
) -> Result<ExitCode> {
    let Done {
        frames,
        lost,
        duplicated,
        reordered,
        corrupted,
    } = done;
    println!(
        "cable: {frames} frames, {lost} lost, {duplicated} twice, {reordered} late, {corrupted} corrupted"
    );
    let mut failed = false;
    for (name, Outcome { done, errors, .. }) in sums {
        failed |= !errors.is_empty();
        let errors = if errors.is_empty() {
            "none failed".to_owned()
        } else {
            errors.join(", ")
        };
        println!("{name}: {done} requests, {errors}");
    }
    println!("before: {before}");
    match after {
        Ok(after) => {
            println!("after:  {after}");
            for (name, number) in after.drops() {
                println!("dropped, {name}: {number}");
            }
        }
        Err(error) => {
            failed = true;
            println!("after:  {error:#}");
        }
    }
    println!(
        "{}",
        if failed {
            "soak: failed"
        } else {
            "soak: passed"
        }
    );
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Waits until the guest has no connection but the one that asks, and uses no more memory than `before`.
fn settled(server: &mut Running, before: Option<&Metrics>) -> Result<Metrics> {
    let end = Instant::now() + REST;
    loop {
        let command = server.own(&["loader", "fetch", &server.web(), "/metrics"])?;
        let metrics = Metrics::read(&server.client(command)?)?;
        let most = before.map_or(f64::MAX, |before| before.heap_used + SLACK);
        if metrics.connections() <= 1.0 && metrics.heap_used <= most {
            return Ok(metrics);
        }
        if Instant::now() >= end {
            bail!(
                "after {} s of rest it is not as it was: {metrics}",
                REST.as_secs()
            );
        }
        server.rest(Duration::from_secs(1))?;
    }
}

/// Runs the clients of a phase, all at once.
fn load(server: &mut Running) -> Result<Vec<Outcome>> {
    let mut clients = Vec::new();
    for (name, count) in CLIENTS {
        let mut command = server.own(&[
            "loader",
            name,
            &server.web(),
            "--clients",
            &count.to_string(),
            "--seconds",
            &PHASE.as_secs().to_string(),
        ])?;
        let output = tempfile::NamedTempFile::new()?;
        clients.push((ChildGuard::spawn(command.stdout(output.reopen()?))?, output));
    }
    let mut outcomes = Vec::new();
    for (mut client, output) in clients {
        while client.try_wait()?.is_none() {
            server.look()?;
        }
        let report = std::fs::read_to_string(output.path())?;
        outcomes.push(
            serde_json::from_str(&report)
                .with_context(|| format!("a client printed {report:?}"))?,
        );
    }
    Ok(outcomes)
}

/// The cable, which is a process in the namespace.
struct Cable(ChildGuard);

impl Cable {
    fn start(server: &Running, seed: u64) -> Result<Self> {
        let mut command = server.own(&[
            "wire",
            TAP,
            &WIRE_PORT.to_string(),
            &QEMU_PORT.to_string(),
            "--seed",
            &seed.to_string(),
        ])?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(ChildGuard::spawn(&mut command)?))
    }

    fn set(&mut self, faults: &Faults) -> Result<()> {
        let orders = self
            .0
            .child()
            .stdin
            .as_mut()
            .context("the input is a pipe")?;
        writeln!(orders, "{}", serde_json::to_string(faults)?).context("the cable has ended")
    }

    /// Ends it; returns what it did.
    fn end(mut self, server: &mut Running) -> Result<Done> {
        drop(self.0.child().stdin.take());
        let mut line = String::new();
        if let Some(output) = self.0.child().stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        while self.0.try_wait()?.is_none() {
            process::check_stopped()?;
            server.look()?;
        }
        serde_json::from_str(&line).context("the cable said nothing")
    }
}
