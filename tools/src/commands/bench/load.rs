//! Requests per second and errors, in a network namespace.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::subject::Subject;
use super::table::{Column, grouped};
use super::{DIRECTIONS, Effort};
use crate::commands::burst::Burst;
use crate::console::Console;
use crate::guest::Guest;
use crate::network::{GUEST, GUEST_ARGUMENTS, Namespace, TAP};
use crate::process::{self, ChildGuard};
use crate::qemu::{GUEST_PORT, Network};
use crate::setup::programs;

/// How many connections wrk holds.
const CONNECTIONS: [u32; 4] = [1, 10, 64, 256];

/// How many connections are opened at once.
const BURST: u32 = 256;

const HOW_LOAD: &str =
    "`wrk -t1`, keep-alive, on this machine; over a tap, or loopback for sockets";
const HOW_BULK: &str = "`iperf3`, one stream, received; on this machine, as above";
const HOW_BURST: &str = "opened at once, each asks for `/` and stays open; as above";

/// What serves in a namespace.
pub(super) trait Server {
    /// The command that starts it there.
    fn command(&self, namespace: &Namespace) -> Result<Command>;
    /// Where clients in the namespace find it.
    fn host(&self) -> &str;
    /// How long it may take to serve.
    fn deadline(&self) -> Duration;
}

impl Server for Subject {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        let network = Network::Tap {
            name: TAP.to_owned(),
        };
        let mut command = namespace.command(self.cpu.qemu().get()?)?;
        command.args(self.machine(network, &GUEST_ARGUMENTS).words());
        Ok(command)
    }

    fn host(&self) -> &str {
        GUEST
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// Measures requests of one system.
pub(super) fn measure(column: &mut Column<'_>, server: &dyn Server, effort: Effort) -> Result<()> {
    if let Some(obstacle) = Namespace::obstacle() {
        column.add("load", obstacle, HOW_LOAD);
        return Ok(());
    }
    let namespace = Namespace::new()?;
    let mut guest = start(&namespace, server)?;
    for connections in CONNECTIONS {
        column.announce(&format!(
            "{connections} connections for {} s",
            effort.load_seconds
        ));
        let url = format!("http://{}:{GUEST_PORT}/", server.host());
        let load = wrk(&namespace, &mut guest, connections, effort, &url)?;
        column.add(
            &format!("requests/s (connections: {connections})"),
            load,
            HOW_LOAD,
        );
    }
    column.announce(&format!("{BURST} connections at once"));
    let burst = burst(&namespace, &mut guest, server.host())?;
    column.add(&format!("{BURST} connections at once"), burst, HOW_BURST);
    Ok(())
}

/// Starts the image inside and waits until it listens.
fn start(namespace: &Namespace, server: &dyn Server) -> Result<Guest> {
    let mut command = server.command(namespace)?;
    let mut guest = Guest::start(&mut command, Console::default(), true)?;
    let deadline = Instant::now() + server.deadline();
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
fn wrk(
    namespace: &Namespace,
    guest: &mut Guest,
    connections: u32,
    effort: Effort,
    url: &str,
) -> Result<String> {
    let mut command = namespace.command(programs::WRK.get()?)?;
    let seconds = effort.load_seconds;
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    command.arg(url);
    summary(&client(command, guest)?)
}

/// Runs a client of a guest that must live on; returns what it prints.
fn client(mut command: Command, guest: &mut Guest) -> Result<String> {
    let output = tempfile::NamedTempFile::new()?;
    let mut guard = ChildGuard::spawn(command.stdout(output.reopen()?))?;
    while guard.try_wait()?.is_none() {
        process::check_stopped()?;
        guest.pump(Duration::from_millis(20));
        alive(guest)?;
    }
    Ok(std::fs::read_to_string(output.path())?)
}

/// Reads what wrk printed.
fn summary(report: &str) -> Result<String> {
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
    Ok(rated(rate, &errors))
}

/// A rate of requests and what went wrong: "1,234 (no errors)".
pub(super) fn rated(rate: f64, errors: &[String]) -> String {
    let errors = if errors.is_empty() {
        "no errors".to_owned()
    } else {
        errors.join(", ")
    };
    // A rate is positive and far below 2^53.
    format!("{} ({errors})", grouped(rate.round() as u64))
}

/// Measures bulk TCP both ways, of a system that answers iperf3's client.
pub(super) fn bulk(column: &mut Column<'_>, server: &dyn Server, effort: Effort) -> Result<()> {
    if Namespace::obstacle().is_some() {
        return Ok(());
    }
    let namespace = Namespace::new()?;
    let mut guest = start(&namespace, server)?;
    for (measure, option) in DIRECTIONS {
        column.announce(measure);
        let mut command = namespace.command(programs::IPERF3.get()?)?;
        command.args(["--json", "--client", server.host(), "--time"]);
        command.arg(effort.load_seconds.to_string()).args(option);
        let report = client(command, &mut guest)?;
        // iperf3's server, one that Linux runs, refuses a client that comes at once after another.
        std::thread::sleep(Duration::from_secs(1));
        column.add(measure, grouped(megabits(&report)?), HOW_BULK);
    }
    Ok(())
}

/// Reads what iperf3 received, from its JSON.
pub(super) fn megabits(report: &str) -> Result<u64> {
    let report: serde_json::Value =
        serde_json::from_str(report).context("iperf3 printed no JSON")?;
    let rate = report
        .pointer("/end/sum_received/bits_per_second")
        .and_then(serde_json::Value::as_f64);
    let complaint = || format!("iperf3 gave no result: {}", report["error"]);
    // A rate is positive and far below 2^53.
    Ok((rate.with_context(complaint)? / 1e6).round() as u64)
}

fn burst(namespace: &Namespace, guest: &mut Guest, host: &str) -> Result<String> {
    let address = format!("{host}:{GUEST_PORT}");
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
    fn what_iperf3_received_is_read() {
        let report = r#"{"end": {"sum_received": {"bits_per_second": 123400000.7}}}"#;
        assert_eq!(megabits(report).expect("a report"), 123);
        assert!(megabits(r#"{"error": "unable to connect"}"#).is_err());
    }

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
