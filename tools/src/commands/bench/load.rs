//! Requests per second and errors, over a tap in a network namespace.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Effort;
use super::table::{Column, grouped};
use crate::commands::burst::Burst;
use crate::console::Console;
use crate::guest::Guest;
use crate::image::Cpu;
use crate::network::{GUEST, GUEST_ARGUMENTS, Namespace, TAP};
use crate::process::{self, ChildGuard};
use crate::qemu::{GUEST_PORT, Machine, Network};
use crate::setup::programs;

/// How many connections wrk holds.
const CONNECTIONS: [u32; 4] = [1, 10, 64, 256];

/// How many connections are opened at once.
const BURST: u32 = 256;

/// How long the guest may take to listen.
const DEADLINE: Duration = Duration::from_secs(15);

const HOW_LOAD: &str = "`wrk -t1` over a tap, keep-alive; this machine";
const HOW_BURST: &str = "opened at once, each asks for `/` and stays open; over a tap";

/// Measures one app.
pub(super) fn measure(column: &mut Column<'_>, image: &Path, effort: Effort) -> Result<()> {
    if let Some(obstacle) = Namespace::obstacle() {
        column.add("load", obstacle, HOW_LOAD);
        return Ok(());
    }
    let namespace = Namespace::new()?;
    let mut guest = start(&namespace, image)?;
    for connections in CONNECTIONS {
        column.announce(&format!(
            "{connections} connections for {} s",
            effort.load_seconds
        ));
        let load = wrk(&namespace, &mut guest, connections, effort.load_seconds)?;
        column.add(
            &format!("requests/s (connections: {connections})"),
            load,
            HOW_LOAD,
        );
    }
    column.announce(&format!("{BURST} connections at once"));
    let burst = burst(&namespace, &mut guest)?;
    column.add(&format!("{BURST} connections at once"), burst, HOW_BURST);
    Ok(())
}

/// Starts the image inside and waits until it listens.
fn start(namespace: &Namespace, image: &Path) -> Result<Guest> {
    let mut machine = Machine::new(
        Cpu::Aarch64,
        image,
        Network::Tap {
            name: TAP.to_owned(),
        },
    );
    machine.arguments = GUEST_ARGUMENTS.map(str::to_owned).to_vec();
    let mut command = namespace.command(programs::QEMU.get()?)?;
    let mut guest = Guest::start(command.args(machine.words()), Console::new(None), true)?;
    let deadline = Instant::now() + DEADLINE;
    while guest.console.url().is_none() {
        process::check_stopped()?;
        guest.pump(Duration::from_millis(20));
        alive(&mut guest)?;
        if Instant::now() >= deadline {
            bail!(
                "the guest does not listen; its last line: {:?}",
                guest.console.last_line()
            );
        }
    }
    Ok(guest)
}

fn alive(guest: &mut Guest) -> Result<()> {
    if let Some(status) = guest.ended()? {
        guest.verdict(status)?;
        bail!("the guest ended");
    }
    Ok(())
}

/// Runs wrk; returns "1,234 (errors: none)".
fn wrk(namespace: &Namespace, guest: &mut Guest, connections: u32, seconds: u64) -> Result<String> {
    let mut command = namespace.command(programs::WRK.get()?)?;
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    command.arg(format!("http://{GUEST}:{GUEST_PORT}/"));
    let output = tempfile::NamedTempFile::new()?;
    let mut guard = ChildGuard::spawn(command.stdout(output.reopen()?))?;
    while guard.try_wait()?.is_none() {
        process::check_stopped()?;
        guest.pump(Duration::from_millis(20));
        alive(guest)?;
    }
    summary(&std::fs::read_to_string(output.path())?)
}

/// Reads what wrk printed.
pub(super) fn summary(report: &str) -> Result<String> {
    let rest = |name: &str| {
        report
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(str::trim)
    };
    let rate: f64 = rest("Requests/sec:")
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("wrk gave no result: {report}"))?;
    let mut errors: Vec<String> = Vec::new();
    if let Some(sockets) = rest("Socket errors:") {
        errors.extend(
            sockets
                .split(", ")
                .filter(|error| !error.ends_with(" 0"))
                .map(str::to_owned),
        );
    }
    if let Some(number) = rest("Non-2xx or 3xx responses:") {
        errors.push(format!("status {number}"));
    }
    let errors = if errors.is_empty() {
        "no errors".to_owned()
    } else {
        errors.join(", ")
    };
    // A rate is positive and far below 2^53.
    Ok(format!("{} ({errors})", grouped(rate.round() as u64)))
}

fn burst(namespace: &Namespace, guest: &mut Guest) -> Result<String> {
    let address = format!("{GUEST}:{GUEST_PORT}");
    let output = namespace.own_output(&["burst", &address, &BURST.to_string()])?;
    guest.pump(Duration::from_millis(20));
    let burst: Burst = serde_json::from_str(&output).context("the burst printed no result")?;
    let Burst {
        served,
        refused,
        reset,
        timed_out,
        other,
    } = burst;
    let parts = [
        (refused, "refused"),
        (reset, "reset"),
        (timed_out, "timed out"),
        (other, "other"),
    ];
    let bad: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, name)| format!("{number} {name}"))
        .collect();
    let bad = if bad.is_empty() {
        "none refused or reset".to_owned()
    } else {
        bad.join(", ")
    };
    Ok(format!("{served} served ({bad})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_report_is_read() {
        let report = "Running 3s test @ http://10.77.0.2:8080/\n  100 requests in 3.00s, 1MB read\n\
                      Requests/sec:   6602.49\nTransfer/sec:      1.02MB\n";
        assert_eq!(summary(report).expect("a report"), "6,602 (no errors)");
    }

    #[test]
    fn errors_are_read_from_wrks_report() {
        let report = "  Socket errors: connect 0, read 3, write 0, timeout 12\n  Non-2xx or 3xx responses: 7\n\
                      Requests/sec:      9.51\n";
        assert_eq!(
            summary(report).expect("a report"),
            "10 (read 3, timeout 12, status 7)"
        );
        assert!(summary("unable to connect").is_err());
    }
}
