//! `cargo landfall trace`: runs an app and keeps the frames on its network in a file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use super::run::{self as runs, LabOptions, Options, Words};
use crate::capture;
use crate::registry::{Board, Workspace};

/// Runs an app as `run` does, and keeps every frame that it sends and gets in a pcap file
///
/// Wireshark and tcpdump read the file, also while the app runs. On boards virt and virt-armv7 QEMU writes it, at the
/// guest's network card. For guests of the Xen lab tcpdump does, in dom0, at the guest's vif, from the guest's first
/// frame on. A process has frames on a tap only, where this command listens, as root. Ctrl-C ends it, and the last line
/// says how many frames there are.
///
/// For a guest of another Xen host, with N for the domain's number in xl list:
/// ssh root@HOST tcpdump -U -w - -i vifN.0 >FILE.pcap
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall trace hello --output hello.pcap     in QEMU, and then: tcpdump -nr hello.pcap\n  \
    cargo landfall trace 2048 --board virt-armv7 --tap tap0 --output 2048.pcap\n  \
    cargo landfall trace 2048 --board xenvm --output 2048.pcap    a guest of Xen\n  \
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
    lab: LabOptions,
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
        lab,
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
        lab,
        words,
    });
    if output.metadata().is_ok_and(|data| data.len() > 0) {
        let frames = capture::frames_in(&output)?;
        eprintln!("{frames} frames in {}", output.display());
    }
    result
}

/// Refuses a process without frames.
fn check(board: &Board, tap: Option<&str>) -> Result<()> {
    ensure!(
        board.target.is_some() || tap.is_some(),
        "board {} uses this machine's sockets and has no frames of its own: add --tap NAME, or --board virt",
        board.name
    );
    Ok(())
}
