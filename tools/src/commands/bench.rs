//! `cargo landfall bench`: measures the images and prints a table in Markdown.
//!
//! Nothing is asserted. Figures that depend on the machine's speed (wall time, requests per second) are
//! only good for comparing side by side; instruction counts repeat on any machine.

mod boot;
mod load;
mod size;
mod table;
mod xen;

use std::process::ExitCode;

use anyhow::Result;

use self::table::Table;
use super::build;
use crate::cargo::Compilers;
use crate::process;
use crate::registry::{App, Workspace};
use crate::setup::programs;

/// Measures images: size, memory, start, idling, load
///
/// Prints a table in Markdown on standard output and what it is doing on standard error. On board virt the
/// load needs root: it runs over a tap in a network namespace, which this command makes and removes. On board
/// xenvm everything happens in the Xen lab, beside a minimal Linux guest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall bench                    all apps; some minutes\n  \
    cargo landfall bench hello --quick      shorter runs, for a first impression\n  \
    cargo landfall bench --board xenvm      as guests of Xen, beside Linux\n  \
    cargo landfall bench > measured.md      keep the table")]
pub(crate) struct Arguments {
    /// The apps to measure [default: all]
    apps: Vec<String>,
    /// The board to measure on
    #[arg(long, value_enum, default_value_t = Board::Virt)]
    board: Board,
    /// Shorter runs: figures that scatter more
    #[arg(long)]
    quick: bool,
}

/// A board for which there are measures.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Board {
    /// QEMU's machine
    Virt,
    /// A guest of Xen, in the lab
    Xenvm,
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
    let table = match arguments.board {
        Board::Virt => measure_virt(&workspace, apps, effort)?,
        Board::Xenvm => xen::measure(&workspace, apps, effort)?,
    };
    print!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn measure_virt(workspace: &Workspace, apps: Vec<App>, effort: Effort) -> Result<Table> {
    let board = workspace.board("virt")?;
    programs::get_all(&[programs::QEMU, programs::WRK, programs::IP])?;
    let mut compilers = Compilers::new(workspace);
    let folder = build::images_folder(workspace, &board);
    let mut table = Table::new();
    for app in apps {
        let image = build::build(&mut compilers, &app, &board, &folder)?;
        let mut column = table.column(&app.name);
        size::measure(&mut column, workspace, &app, &image)?;
        boot::measure(&mut column, &image.path, effort)?;
        load::measure(&mut column, &image.path, effort)?;
        process::check_stopped()?;
    }
    Ok(table)
}
