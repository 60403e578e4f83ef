//! The parts of a Rust toolchain that only checks need: rustfmt and clippy.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::toolchain::cargo_program;
use crate::process::{self, find_program};

/// Cargo's subcommand, and rustup's name for the part.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// The names of the parts that are missing.
pub(crate) fn missing() -> Vec<&'static str> {
    let absent = |subcommand: &str| {
        let mut cargo = Command::new(cargo_program());
        process::output(cargo.args([subcommand, "--version"])).is_err()
    };
    COMPONENTS
        .into_iter()
        .filter(|(subcommand, _)| absent(subcommand))
        .map(|(_, component)| component)
        .collect()
}

/// Lets rustup add the parts that are missing.
pub(crate) fn get() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find_program("rustup").is_none() {
        bail!("{names} missing: install them with the package manager that brought cargo");
    }
    eprintln!("setup: {names} missing: rustup component add {names}");
    let mut rustup = Command::new("rustup");
    rustup
        .args(["component", "add"])
        .args(missing)
        .stdout(Stdio::from(std::io::stderr()));
    process::run_checked(&mut rustup, "rustup component add")
}
