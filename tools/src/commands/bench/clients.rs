//! Clients beside a running server, and what their reports say: wrk, iperf3, and those of this tool.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::figure::Sample;
use super::load::no_result;
use super::scenarios::Direction;
use crate::commands::burst::Burst;
use crate::commands::loader::Outcome;
use crate::lab::linux_guest::ECHO_PORT;
use crate::process::{self, ChildGuard};
use crate::server::Running;
use crate::setup::programs;

/// How long opening many connections may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// iperf3's server, the one that Linux runs, refuses a client that comes at once after another.
const PAUSE: Duration = Duration::from_millis(500);

/// Requests per second on `connections` that are kept.
pub(super) fn wrk(server: &mut Running, connections: u32, seconds: u64) -> Result<Sample> {
    let mut command = server.command(programs::WRK.get()?)?;
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    command.args(["--timeout", "10s", &format!("http://{}/", server.web())]);
    summary(&server.client(command)?)
}

/// The same while `idle` other connections stay open, and beside the rate without them.
pub(super) fn wrk_beside_idle(
    server: &mut Running,
    connections: u32,
    idle: u32,
    seconds: u64,
) -> Result<Sample> {
    let alone = wrk(server, connections, seconds)?;
    let mut held = Held::open(server, idle)?;
    let mut sample = wrk(server, connections, seconds)?;
    sample.kept = (alone.value > 0.0).then(|| sample.value / alone.value);
    let (served, open) = (held.served, held.close(server)?);
    for (number, what) in [(served, "were served"), (open, "stayed open")] {
        if number < u64::from(idle) {
            sample
                .errors
                .push(format!("{number} of {idle} idle {what}"));
        }
    }
    Ok(sample)
}

/// Connections per second, each for one request, `clients` at a time.
pub(super) fn close(server: &mut Running, clients: u32, seconds: u64) -> Result<Sample> {
    let limit = Limit::Seconds(seconds);
    rate(own(server, "close", &server.web(), clients, limit)?)
}

/// Datagrams per second that come back, with `datagrams` under way.
pub(super) fn echo(server: &mut Running, datagrams: u32, seconds: u64) -> Result<Sample> {
    let address = echo_address(server);
    rate(own(
        server,
        "echo",
        &address,
        datagrams,
        Limit::Seconds(seconds),
    )?)
}

/// Where the echo is.
pub(super) fn echo_address(server: &Running) -> String {
    format!("{}:{ECHO_PORT}", server.host())
}

/// When a client of this tool ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    Seconds(u64),
    Count(u64),
}

/// Runs a client of this tool.
pub(super) fn own(
    server: &mut Running,
    way: &str,
    address: &str,
    clients: u32,
    limit: Limit,
) -> Result<Outcome> {
    let (option, value) = match limit {
        Limit::Seconds(seconds) => ("--seconds", seconds),
        Limit::Count(count) => ("--count", count),
    };
    let [clients, value] = [u64::from(clients), value].map(|number| number.to_string());
    let command = server.own(&[
        "loader",
        way,
        address,
        "--clients",
        &clients,
        option,
        &value,
    ])?;
    let report = server.client(command)?;
    serde_json::from_str(&report).map_err(|_| no_result(way, &report))
}

fn rate(outcome: Outcome) -> Result<Sample> {
    if outcome.done == 0 {
        bail!("none answered: {}", outcome.errors.join(", "));
    }
    Ok(Sample {
        // Counts of some seconds are far below 2^53.
        value: outcome.done as f64 / outcome.seconds,
        kept: None,
        errors: outcome.errors,
    })
}

/// Connections that are held open by a client of this tool.
struct Held {
    client: ChildGuard,
    reports: std::sync::mpsc::Receiver<String>,
    /// How many were served at first.
    served: u64,
}

impl Held {
    fn open(server: &mut Running, count: u32) -> Result<Self> {
        let mut command = server.own(&["loader", "hold", &server.web(), &count.to_string()])?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = ChildGuard::spawn(&mut command)?;
        let output = client.child().stdout.take();
        let output = BufReader::new(output.context("the output is a pipe")?);
        let (sender, reports) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut held = Self {
            client,
            reports,
            served: 0,
        };
        held.served = held.next(server)?.done;
        Ok(held)
    }

    /// Returns how many were open to the end.
    fn close(&mut self, server: &mut Running) -> Result<u64> {
        drop(self.client.child().stdin.take());
        Ok(self.next(server)?.done)
    }

    fn next(&self, server: &mut Running) -> Result<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            process::check_stopped()?;
            if let Ok(line) = self.reports.recv_timeout(Duration::from_millis(20)) {
                return serde_json::from_str(&line).context("the client printed no result");
            }
            server.look()?;
            if Instant::now() >= deadline {
                bail!(
                    "the connections are not open after {} s",
                    PATIENCE.as_secs()
                );
            }
        }
    }
}

/// How many of `count` connections, opened at once, are served.
pub(super) fn burst(server: &mut Running, count: u32) -> Result<Sample> {
    let command = server.own(&["burst", &server.web(), &count.to_string()])?;
    let report = server.client(command)?;
    let burst: Burst =
        serde_json::from_str(&report).map_err(|_| no_result("the burst", &report))?;
    let errors = [
        (burst.refused, "refused"),
        (burst.reset, "reset"),
        (burst.timed_out, "timed out"),
        (burst.other, "other"),
    ];
    let errors = errors.into_iter().filter(|(number, _)| *number > 0);
    Ok(Sample {
        value: f64::from(burst.served),
        kept: None,
        errors: errors
            .map(|(number, name)| format!("{number} {name}"))
            .collect(),
    })
}

/// Bulk TCP, in Mbit/s.
pub(super) fn iperf3(
    server: &mut Running,
    direction: Direction,
    streams: u32,
    seconds: u64,
) -> Result<Sample> {
    let mut command = iperf3_command(server, direction, streams)?;
    command.args(["--time", &seconds.to_string()]);
    let report = server.client(command)?;
    server.rest(PAUSE)?;
    Ok(megabits(&report)?.into())
}

/// iperf3's client, without the words that say when it ends.
pub(super) fn iperf3_command(
    server: &Running,
    direction: Direction,
    streams: u32,
) -> Result<Command> {
    let mut command = server.iperf3()?;
    command.args(["--json", "--client", server.host(), "--parallel"]);
    command.arg(streams.to_string()).args(direction.option());
    Ok(command)
}

/// Reads what iperf3 received, in Mbit/s, from its JSON.
pub(super) fn megabits(report: &str) -> Result<f64> {
    Ok(received(report, "bits_per_second")? / 1e6)
}

/// Reads a number about what was received from iperf3's JSON.
pub(super) fn received(report: &str, name: &str) -> Result<f64> {
    let json: serde_json::Value =
        serde_json::from_str(report).map_err(|_| no_result("iperf3", report))?;
    let number = json.pointer(&format!("/end/sum_received/{name}"));
    let number = number.and_then(serde_json::Value::as_f64);
    number.with_context(|| format!("iperf3 gave no result: {}", json["error"]))
}

/// Reads what wrk printed.
fn summary(report: &str) -> Result<Sample> {
    let rest = |name: &str| {
        let mut lines = report.lines().map(str::trim);
        lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let value = rest("Requests/sec:").and_then(|number| number.parse().ok());
    let value = value.ok_or_else(|| no_result("wrk", report))?;
    let sockets = rest("Socket errors:").into_iter();
    let sockets = sockets.flat_map(|errors| errors.split(", "));
    let sockets = sockets.filter(|error| !error.ends_with(" 0"));
    let statuses = rest("Non-2xx or 3xx responses:");
    let errors = sockets
        .map(str::to_owned)
        .chain(statuses.map(|number| format!("status {number}")));
    Ok(Sample {
        value,
        kept: None,
        errors: errors.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_iperf3_received_is_read() {
        let report = r#"{"end": {"sum_received": {"bits_per_second": 123400000, "bytes": 7}}}"#;
        assert_eq!(megabits(report).expect("a report"), 123.4);
        assert_eq!(received(report, "bytes").expect("a report"), 7.0);
        assert!(megabits(r#"{"error": "unable to connect"}"#).is_err());
    }

    #[test]
    fn wrks_report_is_read() {
        let report = "Running 3s test @ http://10.77.0.2:8080/\n  100 requests in 3.00s, 1MB read\n\
                      Requests/sec:   6602.49\nTransfer/sec:      1.02MB\n";
        let read = summary(report).expect("a report");
        assert_eq!((read.value, read.errors.len()), (6602.49, 0));
    }

    #[test]
    fn errors_are_read_from_wrks_report() {
        let report = "  Socket errors: connect 0, read 3, write 0, timeout 12\n  Non-2xx or 3xx responses: 7\n\
                      Requests/sec:      9.51\n";
        let read = summary(report).expect("a report");
        assert_eq!(read.errors, ["read 3", "timeout 12", "status 7"]);
        assert!(summary("unable to connect").is_err());
    }

    #[test]
    fn a_server_that_never_answers_has_no_rate() {
        let outcome = |done| Outcome {
            done,
            seconds: 2.0,
            errors: vec!["3 refused".to_owned()],
        };
        assert_eq!(rate(outcome(10)).expect("a rate").value, 5.0);
        assert!(rate(outcome(0)).is_err());
    }
}
