//! `cargo landfall bench`: measures the images and prints a table in Markdown.
//!
//! Nothing is asserted. Figures that depend on the machine's speed (wall time, requests per second) are
//! only good for comparing side by side; instruction counts repeat on any machine.

mod boot;
mod card;
mod load;
mod parts;
mod process;
mod size;
mod subject;
mod table;
mod xen;

use std::process::ExitCode;

use anyhow::{Context, Result};

use self::subject::Subject;
use self::table::{Table, grouped};
use super::build;
use crate::cargo::Compilers;
use crate::image::Cpu;
use crate::lab::parts::Parts;
use crate::lab::platform::Architecture;
use crate::process::check_stopped;
use crate::registry::{App, Board, Loader, Workspace};
use crate::setup::programs;

/// The test guest that answers iperf3's client.
const BULK: &str = "iperf3";

/// The rows for bulk TCP, and the option of iperf3's client for each.
const DIRECTIONS: [(&str, Option<&str>); 2] = [
    ("bulk to the guest, Mbit/s", None),
    ("bulk from the guest, Mbit/s", Some("-R")),
];

/// Measures images: size, memory, start, idling, load
///
/// Prints a table in Markdown on standard output and what it is doing on standard error. Beside the apps stands
/// a minimal Linux guest of the same machine or Xen. On boards virt and virt-armv7 the load needs root: it runs
/// over a tap in a network namespace, which this command makes and removes. On boards xenvm and cubieboard2
/// everything happens in the Xen lab. On board sunxi the time from power-on is measured, through U-Boot, and load over a
/// tap. On board unix only the load is measured, of a process on this machine's sockets
/// and of one on a tap.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall bench                    all apps; some minutes\n  \
    cargo landfall bench hello --quick      shorter runs, for a first impression\n  \
    cargo landfall bench --board xenvm      as guests of Xen\n  \
    cargo landfall bench --board virt-armv7 --quick\n  \
    cargo landfall bench hello --board unix --quick\n  \
    cargo landfall bench hello --parts      what each part of the runtime costs in an image\n  \
    cargo landfall bench > measured.md      keep the table")]
pub(crate) struct Arguments {
    /// The apps to measure [default: all]
    apps: Vec<String>,
    /// The board to measure on
    #[arg(long, default_value = "virt")]
    board: String,
    /// Shorter runs: figures that scatter more
    #[arg(long)]
    quick: bool,
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
    /// Seconds of load for each number of connections.
    load_seconds: u64,
}

impl Effort {
    const FULL: Effort = Effort {
        starts: 5,
        idle_seconds: 10,
        load_seconds: 10,
    };
    const QUICK: Effort = Effort {
        starts: 3,
        idle_seconds: 10,
        load_seconds: 3,
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
    let table = match (board.cpu(), board.loader) {
        (None, _) => process::measure(&workspace, &board, apps, effort)?,
        (Some(cpu), Some(Loader::Xl)) => xen::measure(&workspace, &board, cpu, apps, effort)?,
        (Some(_), Some(Loader::Card)) => card::measure(&workspace, &board, apps, effort)?,
        (Some(cpu), None) => measure_machine(&workspace, &board, cpu, apps, effort)?,
    };
    print!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// Measures `apps` and Linux on QEMU's machine.
fn measure_machine(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    programs::get_all(&[cpu.qemu(), programs::WRK, programs::IPERF3, programs::IP])?;
    let mut compilers = Compilers::new(workspace);
    let folder = build::images_folder(workspace, board);
    let mut table = Table::new();
    for app in apps {
        let image = build::build(&mut compilers, &app, board, &folder)?;
        let subject = Subject::landfall(cpu, &image.path);
        let mut column = table.column(&app.name);
        size::measure(&mut column, workspace, &app, &image)?;
        boot::measure(&mut column, &subject, effort)?;
        load::measure(&mut column, &subject, effort)?;
        check_stopped()?;
    }
    let bulk = build::build(&mut compilers, &workspace.app(BULK)?, board, &folder)?;
    let bulk = Subject::landfall(cpu, &bulk.path);
    load::bulk(&mut table.column("bulk"), &bulk, effort)?;
    let parts = Parts::get(Architecture::of(cpu).platform(), None)?;
    let linux = Subject::linux(cpu, &parts, false);
    let mut column = table.column("Linux");
    column.add(
        "image, bytes",
        grouped(parts.guest_bytes(false)?),
        size::HOW,
    );
    boot::measure(&mut column, &linux, effort)?;
    load::measure(&mut column, &linux, effort)?;
    load::bulk(&mut column, &Subject::linux(cpu, &parts, true), effort)?;
    Ok(table)
}
