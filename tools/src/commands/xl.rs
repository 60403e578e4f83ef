//! `cargo landfall xl`: guests of a Xen host on another machine.

mod deploy;
mod host;
mod options;

pub(crate) use options::DomainOptions;

use std::process::ExitCode;

use anyhow::Result;

/// Puts guests on a Xen host
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Deploy(deploy::Arguments),
}

/// Runs a subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.command {
        Command::Deploy(arguments) => deploy::run(arguments),
    }
}
