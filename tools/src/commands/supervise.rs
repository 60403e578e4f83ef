//! `cargo landfall supervise` (hidden): becomes a program that dies with the command that started it.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::process;

/// Becomes another program, which is killed with the process that asked for it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The process to die with
    parent: u32,
    /// The program and its words
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

/// Becomes the program.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match process::supervise(arguments.parent, &arguments.program)? {}
}
