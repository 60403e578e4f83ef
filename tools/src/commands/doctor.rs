//! `cargo landfall doctor`: what the commands need, what is here, and what would be done about the rest.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::apps::print_table;
use crate::process::find_program;
use crate::registry::Workspace;
use crate::setup::toolchain::{Toolchain, UserRust};
use crate::setup::{apt, cache, components, debian, linker, programs, sshd, wasm};

/// Shows what the commands need, what is here and what would be fetched
///
/// Nothing here needs to be done beforehand: each command fetches what it lacks. `--fix` fetches it all
/// now, for instance before a journey without network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Environment:\n  \
    LANDFALL_CACHE       the folder for private copies [default: ~/.cache/landfall]\n  \
    LANDFALL_TOOLCHAIN   allow only this way to a compiler: installed, rustup, source or debian\n\n\
    Examples:\n  \
    cargo landfall doctor          only look\n  \
    cargo landfall doctor --fix    fetch everything that is missing")]
pub(crate) struct Arguments {
    /// Fetch everything that is missing
    #[arg(long)]
    fix: bool,
}

/// Name, state, what would be done.
type Row = [String; 3];

/// Looks, and fetches with `--fix`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let targets = targets(&Workspace::load()?)?;
    if arguments.fix {
        fix(&targets)?;
    }
    let mut rows = rust_rows(&targets)?;
    rows.extend(programs::ALL.map(program_row));
    rows.push(sshd_row());
    rows.push(tun_row());
    print_table(["NEEDED", "STATE", "WHAT WOULD BE DONE"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// The targets of all boards, and that of pages.
fn targets(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let mut targets: BTreeSet<String> = workspace
        .boards()?
        .into_iter()
        .filter_map(|board| board.target)
        .collect();
    targets.insert(wasm::TARGET.to_owned());
    Ok(targets)
}

fn fix(targets: &BTreeSet<String>) -> Result<()> {
    let mut debians = false;
    for target in targets {
        debians |= Toolchain::get(target)?.is_debians();
    }
    if debians {
        debian::clippy_driver()?;
    }
    components::get()?;
    programs::get_all(&programs::ALL)?;
    sshd::get().map(drop)
}

fn row(name: &str, state: impl Into<String>, plan: impl Into<String>) -> Row {
    [name.to_owned(), state.into(), plan.into()]
}

fn rust_rows(targets: &BTreeSet<String>) -> Result<Vec<Row>> {
    let user = UserRust::load()?;
    let mut rows = vec![row(
        "rustc",
        format!("{} for {}", user.version, user.host),
        "",
    )];
    for target in targets {
        rows.push(match Toolchain::find(target)? {
            Some(toolchain) => row(target, toolchain.how(), ""),
            None => row(target, "missing", Toolchain::plan(target)?),
        });
    }
    rows.push(match linker::find(&user.sysroot, &user.host) {
        Some(linker) => row("linker", linker.display().to_string(), ""),
        None => row("linker", "missing", "fetch Debian's lld into the cache"),
    });
    let missing = components::missing();
    rows.push(if missing.is_empty() {
        row("rustfmt, clippy", "present", "")
    } else {
        row(
            "rustfmt, clippy",
            "missing",
            format!("rustup component add {}", missing.join(" ")),
        )
    });
    let folder = cache::folder()?;
    let state = if folder.is_dir() { "in use" } else { "empty" };
    rows.push(row("cache", format!("{} ({state})", folder.display()), ""));
    Ok(rows)
}

fn program_row(program: programs::Program) -> Row {
    match program.find() {
        Some(path) => row(program.name, path.display().to_string(), ""),
        None if apt::available() => row(
            program.name,
            "missing",
            format!("apt-get install {}", program.package),
        ),
        None => row(
            program.name,
            "missing",
            apt::other_systems(&[program.package]),
        ),
    }
}

/// The tests deploy to it. Debian's is not installed: it would start to serve the network.
fn sshd_row() -> Row {
    match sshd::find() {
        Some(path) => row("sshd", path.display().to_string(), ""),
        None if apt::available() => row("sshd", "missing", "fetch openssh-server into the cache"),
        None => row("sshd", "missing", apt::other_systems(&["openssh-server"])),
    }
}

/// Taps, which the bench makes, need this device and root.
fn tun_row() -> Row {
    let root = rustix::process::geteuid().is_root();
    match (Path::new("/dev/net/tun").exists(), root) {
        (true, true) => row("taps", "/dev/net/tun, root", ""),
        (true, false) if find_program("sudo").is_some() => {
            row("taps", "not root", "run the bench with sudo -E")
        }
        (true, false) => row("taps", "not root", "run the bench as root"),
        (false, _) => row(
            "taps",
            "no /dev/net/tun",
            "modprobe tun; without it the bench skips the load",
        ),
    }
}
