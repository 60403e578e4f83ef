//! `cargo landfall lab`: a Xen host on this machine, emulated.

mod guest;
mod logs;
mod machine;
mod tap;

pub(crate) use machine::Source;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::terminal::attach;

/// Runs a Xen host on this machine, to create guests on
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    Xen(Xen),
}

/// A real Xen with a real Linux dom0 and the real xl, in QEMU
///
/// The lab boots once and then serves many guests. Xen, dom0's kernel and the tools are Debian's packages,
/// which are fetched but not installed. Guests go on one of three bridges: xenbr0 (QEMU's network: DHCP,
/// and ports of this machine can be forwarded to guests), xenbr1 (dom0 is 10.77.0.1 and serves DHCP),
/// xenbr2 (dom0 is 10.78.0.1, no DHCP; a tap of this machine can be joined to it). The environment variable
/// LANDFALL_LAB names the lab's folder: with another folder it is another lab.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen up                             boot the lab, or find it running\n  \
    cargo landfall lab xen create hello.xl --port 8080    a guest, at http://127.0.0.1:8080/\n  \
    cargo landfall lab xen xl list                        the real xl, in dom0\n  \
    cargo landfall lab xen logs hello --follow            what the guest prints\n  \
    cargo landfall lab xen shell                          a shell in dom0; exit leaves it\n  \
    cargo landfall lab xen down                           end it")]
struct Xen {
    /// The architecture of the host; each has a lab of its own
    #[arg(long, value_enum, default_value = "arm64", global = true)]
    arch: Architecture,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Up(machine::Up),
    /// Ends the lab and all guests in it
    Down,
    /// Says whether the lab is up, its ports and its guests
    Status,
    Create(guest::Create),
    Forward(guest::Forward),
    Tap(tap::Tap),
    Xl(Xl),
    Logs(logs::Logs),
    Shell(Shell),
    Put(Put),
    Linux(guest::Linux),
}

/// Runs xl in dom0: all words after it are xl's
///
/// Standard input and output are xl's, and its exit code is this command's.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  \
    cargo landfall lab xen xl list\n  \
    cargo landfall lab xen xl destroy hello\n  \
    cargo landfall lab xen xl console hello    Ctrl-] leaves it\n  \
    cargo landfall lab xen xl create --help    xl's own help"
)]
struct Xl {
    /// What xl is told
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    words: Vec<String>,
}

/// Runs a command in dom0, or a shell
///
/// Standard input and output are the command's, and its exit code is this command's. When this command
/// is ended, so is that in dom0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen shell                        a shell for you; exit leaves it\n  \
    cargo landfall lab xen shell brctl show             one command\n  \
    cargo landfall lab xen shell sh -c 'ps | wc -l'     a line of shell\n  \
    cargo landfall lab xen shell sh < script            a whole script")]
struct Shell {
    /// The command and its words [default: a shell for you]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    words: Vec<String>,
}

/// Copies a file into dom0 and prints its path there
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen put hello.xl                 becomes /root/hello.xl\n  \
    cargo landfall lab xen put hello.img /root/other")]
struct Put {
    /// The file of this machine
    file: PathBuf,
    /// Where it goes [default: /root/NAME]
    path: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Kind::Xen(xen) = &arguments.kind;
    let place = Place::new(xen.arch)?;
    match &xen.command {
        Command::Up(up) => up.run(xen.arch, &place),
        Command::Down => machine::down(&place),
        Command::Status => machine::status(&place),
        Command::Create(create) => create.run(&Lab::get(&place)?),
        Command::Forward(forward) => forward.run(&Lab::get(&place)?),
        Command::Tap(tap) => tap.run(&place),
        Command::Xl(Xl { words }) => run_words(&place, &[&["xl".to_owned()], &words[..]].concat()),
        Command::Logs(logs) => logs.run(&place),
        Command::Shell(Shell { words }) => run_words(&place, words),
        Command::Put(put) => put.run(&Lab::get(&place)?),
        Command::Linux(linux) => linux.run(xen.arch),
    }
}

fn run_words(place: &Place, words: &[String]) -> Result<ExitCode> {
    Ok(attach(&Lab::get(place)?.agent(), words)?.into())
}

impl Put {
    fn run(&self, lab: &Lab) -> Result<ExitCode> {
        let file = &self.file;
        let name = file
            .file_name()
            .with_context(|| format!("{} names no file", file.display()))?;
        let path = self
            .path
            .clone()
            .unwrap_or_else(|| format!("/root/{}", name.to_string_lossy()));
        let data =
            std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        lab.agent().put(data, &path)?;
        println!("{path}");
        Ok(ExitCode::SUCCESS)
    }
}
