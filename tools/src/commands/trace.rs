//! `cargo landfall trace`: runs an app and keeps the frames on its network in a file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::run::{self as runs, LabOptions, Options, Words};
use crate::capture;
use crate::registry::{Board, Loader, Workspace};

/// Runs an app as `run` does, and keeps every frame that it sends and gets in a pcap file
///
/// Wireshark and tcpdump read the file, also while the app runs. On boards virt and virt-armv7 QEMU writes it, at the
/// guest's network card. A process has frames on a tap only, where this command listens, as root. Ctrl-C ends it, and
/// the last line says how many frames there are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall trace hello --output hello.pcap     in QEMU, and then: tcpdump -nr hello.pcap\n  \
    cargo landfall trace 2048 --board virt-armv7 --tap tap0 --output 2048.pcap\n  \
    cargo landfall trace 2048 --board unix --tap tap0 --output 2048.pcap -- ip=10.0.0.2/24")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "virt")]
    board: String,
    /// The file, which is made anew
    #[arg(long, value_name = "FILE.pcap")]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    words: Words,
}

/// Runs, and counts in the end.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments {
        app,
        board,
        output,
        mut options,
        words,
    } = arguments;
    check(
        &Workspace::load()?.board(&board)?,
        options.machine.tap.as_deref(),
    )?;
    // Before the build: a file that cannot be written should not cost its time.
    std::fs::write(&output, []).with_context(|| format!("cannot write {}", output.display()))?;
    options.trace = Some(output.clone());
    let result = runs::run(runs::Arguments {
        app,
        board,
        options,
        lab: LabOptions::default(),
        words,
    });
    if output.metadata().is_ok_and(|data| data.len() > 0) {
        let frames = capture::frames_in(&output)?;
        eprintln!("{frames} frames in {}", output.display());
    }
    result
}

/// Refuses boards whose frames are out of reach.
fn check(board: &Board, tap: Option<&str>) -> Result<()> {
    let name = &board.name;
    match (board.loader, &board.target, tap) {
        (Some(Loader::Xl), ..) => bail!(
            "a guest of Xen has its frames in dom0: there, tcpdump -w FILE -i vifN.0 for domain N, as xl list numbers \
             it; or trace the same app on --board virt"
        ),
        (None, None, None) => bail!(
            "board {name} uses this machine's sockets and has no frames of its own: add --tap NAME, or --board virt"
        ),
        _ => Ok(()),
    }
}
