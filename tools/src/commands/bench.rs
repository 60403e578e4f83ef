//! `cargo landfall bench`: measures the images and prints a table in Markdown.
//!
//! Nothing is asserted. Figures that depend on the machine's speed (wall time, requests per second) are
//! only good for comparing side by side; instruction counts repeat on any machine.

mod boot;
mod card;
mod chart;
mod clients;
mod figure;
mod instructions;
mod load;
mod machine;
mod parts;
mod process;
mod report;
mod scenarios;
mod size;
mod subject;
mod systems;
mod table;
mod xen;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::report::Report;
use crate::registry::{Loader, Workspace};

/// The test guest that answers iperf3's client and echoes datagrams.
const BULK: &str = "iperf3";

/// Measures images: size, memory, start, idling, load
///
/// Prints a table in Markdown on standard output and what it is doing on standard error. Beside the apps stand
/// Linux guests of the same machine or Xen, and a column with the ratio to them: one with busybox for size, memory and
/// start, one with nginx for load, and beside QEMU's machines one with nginx as Debian's package configures it. The ratio
/// is to the faster of them. The load needs root: it runs over taps in network namespaces, which this command makes and
/// removes. All systems are up at once and loaded in turns, for some rounds; the table has the median and the spread. On
/// boards xenvm and cubieboard2 they are guests in the Xen lab. On board sunxi the time from power-on is measured, through
/// U-Boot, and no Linux stands beside it. On board unix only the load is measured, of a process on this machine's sockets
/// and of one on a tap.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall bench                    all apps; some minutes\n  \
    cargo landfall bench hello --quick      shorter runs, for a first impression\n  \
    cargo landfall bench --board xenvm      as guests of Xen\n  \
    cargo landfall bench --board virt-armv7 --quick\n  \
    cargo landfall bench hello --board unix --quick\n  \
    cargo landfall bench hello --instructions      instructions for a request, a connection, a megabyte\n  \
    cargo landfall bench hello --quick --output docs/benchmarks     keep table, JSON and plot\n  \
    cargo landfall bench hello --parts      what each part of the runtime costs in an image")]
pub(crate) struct Arguments {
    /// The apps to measure [default: all]
    apps: Vec<String>,
    /// The board to measure on
    #[arg(long, default_value = "virt")]
    board: String,
    /// Shorter runs: figures that scatter more
    #[arg(long)]
    quick: bool,
    /// Only how many instructions a request, a connection, a megabyte and a datagram take (virt and virt-armv7)
    #[arg(long, conflicts_with = "parts")]
    instructions: bool,
    /// Also writes the table with command, versions and date, all samples as JSON, and a plot into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "parts")]
    output: Option<PathBuf>,
    /// Only what each part of the runtime, that is each feature of the crate landfall, adds to one app
    #[arg(long, conflicts_with = "quick")]
    parts: bool,
}

/// How long and how often things are measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Starts of which the median is taken.
    starts: usize,
    /// Seconds of idling.
    idle_seconds: u64,
    /// How many times all systems are loaded in turn.
    rounds: usize,
    /// Seconds of load in each round.
    load_seconds: u64,
}

impl Effort {
    const FULL: Effort = Effort {
        starts: 5,
        idle_seconds: 10,
        rounds: 5,
        load_seconds: 5,
    };
    const QUICK: Effort = Effort {
        starts: 3,
        idle_seconds: 10,
        rounds: 3,
        load_seconds: 2,
    };
}

/// Builds, measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let workspace = Workspace::load()?;
    let apps = match arguments.apps.as_slice() {
        [] => workspace.apps()?,
        names => names
            .iter()
            .map(|name| workspace.app(name))
            .collect::<Result<_>>()?,
    };
    let board = workspace.board(&arguments.board)?;
    if arguments.parts {
        let app = apps.first().context("there is an app")?;
        print!("{}", parts::measure(&workspace, &board, app)?);
        return Ok(ExitCode::SUCCESS);
    }
    let landfall = report::own_version(&workspace);
    let (table, mode) = match (board.cpu(), board.loader) {
        (Some(cpu), None) if arguments.instructions => (
            machine::count(&workspace, &board, cpu, apps, effort)?,
            "-instructions",
        ),
        _ if arguments.instructions => {
            bail!("instructions are counted on boards virt and virt-armv7 only")
        }
        (None, _) => (process::measure(&workspace, &board, apps, effort)?, ""),
        (Some(cpu), Some(Loader::Xl)) => (xen::measure(&workspace, &board, cpu, apps, effort)?, ""),
        (Some(_), Some(Loader::Card)) => (card::measure(&workspace, &board, apps, effort)?, ""),
        (Some(cpu), None) => (machine::measure(&workspace, &board, cpu, apps, effort)?, ""),
    };
    print!("{table}");
    if let Some(folder) = &arguments.output {
        Report::new(&board, mode, landfall, table)?.write(folder)?;
    }
    Ok(ExitCode::SUCCESS)
}
