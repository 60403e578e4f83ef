//! `cargo landfall debug`: an app under gdb, from its first instruction.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::build::Image;
use super::run::{Options, build_to_run, reserve};
use crate::console::Console;
use crate::guest::{Answer, Guest};
use crate::image::Cpu;
use crate::process::{self, ChildGuard, accompanied, supervised};
use crate::qemu::{load_address, shell_word};
use crate::registry::{Loader, Workspace};
use crate::setup::programs;

/// How often gdb and the guest's console are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Builds an app and starts it under gdb, stopped before its first instruction
///
/// On boards virt and virt-armv7 the image waits in QEMU; gdb knows where it is loaded, so functions and lines have
/// their names. An image is optimised and has the names of functions and the numbers of lines, but no variables.
/// The guest ends with gdb. On board unix gdb starts the process: type run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall debug hello                 in QEMU; say to gdb: break landfall_start, continue\n  \
    cargo landfall debug hello --board virt-armv7 -- -ex 'break main.rs:28' -ex continue\n  \
    cargo landfall debug hello --wait          prints what a gdb of your own is told\n  \
    cargo landfall debug hello --board unix --arg log=debug\n  \
    cargo landfall debug hello -- -batch -ex 'break landfall_start' -ex continue -ex backtrace")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "virt")]
    board: String,
    /// Start no gdb: print its command line, and wait for it at this port of this machine [default: 1234]
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "1234")]
    wait: Option<u16>,
    /// Words for gdb, after those that connect it
    #[arg(last = true, value_name = "WORDS FOR GDB")]
    gdb: Vec<OsString>,
    #[command(flatten)]
    options: Options,
}

/// Builds, starts and debugs.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    if board.loader == Some(Loader::Xl) {
        bail!(
            "Xen on ARM has no debugger for its guests: debug {} on --board {}, where all but the board is the same",
            app.name,
            match board.cpu() {
                Some(Cpu::Armv7) => "virt-armv7",
                _ => "virt",
            }
        );
    }
    if board.loader == Some(Loader::Card) {
        bail!(
            "board {} begins with U-Boot: debug {} on --board virt-armv7",
            board.name,
            app.name
        );
    }
    if board.target.is_none() && arguments.wait.is_some() {
        bail!(
            "--wait is for machines: with board unix gdb starts the process, or attaches with -p"
        );
    }
    if arguments.wait.is_none() {
        programs::GDB.get()?;
    }
    let gdb_port = reserve(
        Ipv4Addr::LOCALHOST,
        arguments.wait.unwrap_or(0),
        "--wait=PORT",
    )?;
    let (image, port) = build_to_run(&workspace, &app, &board, &arguments.options)?;
    match image.cpu {
        None => arguments.process(&image, port),
        Some(cpu) => arguments.machine(cpu, &image, port, gdb_port, workspace.root()),
    }
}

impl Arguments {
    fn process(&self, image: &Image, port: u16) -> Result<ExitCode> {
        let mut command = accompanied(programs::GDB.get()?);
        command.arg("-q").args(&self.gdb);
        command.arg("--args").arg(&image.path);
        command.args(self.options.process_arguments(port));
        finish(command, || std::thread::sleep(TICK))
    }

    fn machine(
        &self,
        cpu: Cpu,
        image: &Image,
        port: u16,
        gdb_port: u16,
        root: &Path,
    ) -> Result<ExitCode> {
        let bytes = std::fs::read(&image.path)?;
        let words = connected(&image.elf, load_address(cpu, &bytes)?, gdb_port);
        let mut machine = self.options.machine(cpu, &image.path, port);
        machine.gdb = Some(gdb_port);
        let console = Console::of(&image.elf, root);
        let mut qemu = supervised(cpu.qemu().get()?);
        let mut guest = Guest::start(qemu.args(machine.words()), console, false)?;
        if self.wait.is_some() {
            let words = words.iter().map(|word| shell_word(&word.to_string_lossy()));
            let line: Vec<String> = words.collect();
            eprintln!(
                "the guest waits for: {} {}",
                programs::GDB.name,
                line.join(" ")
            );
            guest.serve(Answer::OnConsole, None, |url| println!("open {url}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut command = accompanied(programs::GDB.get()?);
        command.args(words).args(&self.gdb);
        finish(command, || {
            guest.pump(TICK);
        })
    }
}

/// Words by which gdb knows the image and connects to QEMU. The image is linked at 0.
fn connected(elf: &Path, load_address: u64, port: u16) -> Vec<OsString> {
    let symbols = format!("symbol-file -o {load_address:#x} \"{}\"", elf.display());
    let target = format!("target remote {}:{port}", Ipv4Addr::LOCALHOST);
    ["-q", "-ex", &symbols, "-ex", &target]
        .map(OsString::from)
        .to_vec()
}

/// Runs gdb to its end, and `meanwhile`, which takes a moment, again and again.
///
/// In a terminal Ctrl-C is gdb's: it stops the guest, and this command goes on.
fn finish(mut command: Command, mut meanwhile: impl FnMut()) -> Result<ExitCode> {
    let in_terminal = std::io::stdin().is_terminal();
    let mut gdb = ChildGuard::spawn(&mut command)?;
    loop {
        if let Some(status) = gdb.try_wait()? {
            return code_of(status);
        }
        if !in_terminal {
            process::check_stopped()?;
        }
        meanwhile();
    }
}

fn code_of(status: ExitStatus) -> Result<ExitCode> {
    let code = status
        .code()
        .with_context(|| format!("gdb was {}", process::describe(status)))?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdb_is_told_where_the_image_is() {
        let words = connected(Path::new("/a b/hello.elf"), 0x4000_1000, 1234);
        let expected = [
            "-q",
            "-ex",
            "symbol-file -o 0x40001000 \"/a b/hello.elf\"",
            "-ex",
            "target remote 127.0.0.1:1234",
        ];
        assert_eq!(words, expected.map(OsString::from));
    }
}
