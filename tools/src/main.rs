//! `cargo landfall`: builds, runs, tests and measures Landfall images.
//!
//! One file per subcommand in [`commands`]; what a command needs and finds missing is fetched by
//! [`setup`]. The rest is shared: [`registry`] (boards and apps), [`cargo`] and [`image`] (from source
//! to a flat image), [`arguments`] (what an image can be told), [`guest`], [`qemu`], [`qmp`], [`console`] and
//! [`frames`] (a running image), [`http`] and [`network`] (talking to it), [`server`] (a guest and its clients in a network of their own), [`capture`] (what is said on a network
//! device), [`card`] and [`flash`] (SD cards), [`xl`] and [`ssh`] (guests of Xen, on other machines), [`process`] (child processes), [`mod@print`] (what all say).

#![forbid(unsafe_code)]

// First: its macros replace the standard library's from here on.
#[macro_use]
mod print;

mod arguments;
mod capture;
mod card;
mod cargo;
mod commands;
mod console;
mod flash;
mod frames;
mod guest;
mod http;
mod image;
mod lab;
mod network;
mod process;
mod qemu;
mod qmp;
mod registry;
mod server;
mod setup;
mod ssh;
mod xl;

use std::process::ExitCode;

use clap::Parser;

use crate::guest::GuestStopped;
use crate::process::Interrupted;

/// Builds, runs, tests and measures Landfall images.
///
/// Landfall turns a network service into a host process (board `unix`) or a bare-metal image that boots
/// in QEMU (board `virt`). What a command needs and does not find (a compiler target, QEMU, a browser)
/// it fetches, after one line that says what and why; `cargo landfall doctor` shows it all beforehand.
#[derive(Parser)]
#[command(
    name = "cargo landfall",
    bin_name = "cargo landfall",
    version,
    after_help = "Examples:\n  \
        cargo landfall run 2048                  serve the 2048 game from a process on this machine\n  \
        cargo landfall run 2048 --board virt     the same app as a bare-metal image in QEMU\n  \
        cargo landfall build hello --board virt  only build the image; its path is the last line\n  \
        cargo landfall debug hello               gdb at the first instruction of an image in QEMU\n  \
        cargo landfall xl deploy 2048 root@xen   build a guest of Xen and create it on that host\n  \
        cargo landfall test                      everything that CI checks"
)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
}

/// The words of the command line without the `landfall` that cargo inserts when it finds
/// `cargo-landfall` on `PATH`.
fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "landfall") {
        words.remove(1);
    }
    words
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(words());
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

/// Prints why the command failed and returns its exit code.
fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<Interrupted>() {
        return ExitCode::from(process::INTERRUPTED);
    }
    if let Some(stopped) = error.downcast_ref::<GuestStopped>() {
        eprintln!("{stopped}");
        return ExitCode::from(stopped.code);
    }
    eprintln!("error: {error:#}");
    match error.is::<arguments::Refused>() {
        true => ExitCode::from(arguments::REFUSED),
        false => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
