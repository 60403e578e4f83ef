//! From reset to the first answer: memory, time and instructions; and what an idle guest executes.
//!
//! Instructions are QEMU's own count (`-icount shift=0`, asked by `query-replay`): exact, and without the
//! time that the guest sleeps.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Effort;
use super::subject::Subject;
use super::table::Column;
use crate::commands::run::reserve;
use crate::console::Console;
use crate::guest::Guest;
use crate::http;
use crate::process::{self, supervised};
use crate::qemu::{GUEST_PORT, MemorySize, Network};
use crate::qmp::Qmp;

/// How long a guest that has served may take to come to rest.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the console is looked at, small against the time measured.
const PAUSE: Duration = Duration::from_millis(1);

/// An address in QEMU's own network, so that no DHCP takes part.
pub(super) const STATIC_ADDRESS: [&str; 2] = ["ip=10.0.2.15/24", "gateway=10.0.2.2"];

/// Measures starts and idling.
pub(super) fn measure(column: &mut Column<'_>, subject: &Subject, effort: Effort) -> Result<()> {
    column.announce("looking for the smallest memory");
    let memory = smallest(subject.enough, |memory| serves_with(subject, memory))?;
    column.add(
        "smallest memory, MiB",
        u64::from(memory),
        "`-m`, in steps of 1 MiB: boots and answers",
    );
    let times = repeat(effort.starts, || {
        let first = Run::start(subject, &[])?.first_answer()?;
        Ok(first.as_millis() as u64)
    })?;
    column.add(
        "first answer, ms",
        times,
        "wall time from QEMU's start, `ip=`",
    );
    let sleepless = ["-icount", "shift=0,sleep=off"];
    let counts = repeat(effort.starts, || {
        let mut run = Run::start(subject, &sleepless)?;
        run.first_answer()?;
        run.qmp()?.instructions()
    })?;
    column.add(
        "first answer, instructions",
        counts,
        "from reset, `ip=`; QEMU's count (`-icount shift=0,sleep=off`, `query-replay`)",
    );
    let idle = idle_instructions(subject, Duration::from_secs(effort.idle_seconds))?;
    column.add(
        "idle for 10 s, instructions",
        idle * 10 / effort.idle_seconds,
        "after an answer; QEMU's count (`-icount shift=0`, `query-replay`) before and after",
    );
    Ok(())
}

/// A guest in QEMU's own network.
struct Run {
    guest: Guest,
    address: SocketAddr,
    started: Instant,
    folder: tempfile::TempDir,
    deadline: Duration,
}

impl Run {
    fn start(subject: &Subject, extra: &[&str]) -> Result<Self> {
        Self::start_with(subject, MemorySize(subject.enough), extra)
    }

    fn start_with(subject: &Subject, memory: MemorySize, extra: &[&str]) -> Result<Self> {
        process::check_stopped()?;
        let port = reserve(Ipv4Addr::LOCALHOST, 0, "--port PORT")?;
        let folder = tempfile::tempdir()?;
        let network = Network::User {
            host_port: port,
            guest_port: GUEST_PORT,
        };
        let mut machine = subject.machine(network, &STATIC_ADDRESS);
        machine.memory = memory;
        machine
            .extra
            .extend(extra.iter().copied().map(str::to_owned));
        machine.extra.extend(Qmp::words(&folder.path().join("qmp")));
        let started = Instant::now();
        let guest = Guest::start(
            supervised(subject.cpu.qemu().get()?).args(machine.words()),
            Console::default(),
            true,
        )?;
        Ok(Self {
            guest,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            started,
            folder,
            deadline: subject.deadline,
        })
    }

    /// Asks once the guest listens, and again until it answers; returns the time since its start.
    ///
    /// Asking earlier would be slower: QEMU's network repeats a lost SYN only after seconds.
    fn first_answer(&mut self) -> Result<Duration> {
        while self.started.elapsed() < self.deadline {
            process::check_stopped()?;
            self.guest.pump(PAUSE);
            if self.guest.console.url().is_some() && self.serves() {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.guest.ended()? {
                self.guest.verdict(status)?;
                bail!("the guest ended");
            }
        }
        bail!(
            "no answer within {} s; the last line: {:?}",
            self.deadline.as_secs(),
            self.guest.console.last_line()
        )
    }

    fn serves(&self) -> bool {
        http::get(self.address, PATIENCE).is_ok_and(|status| status.is_ok())
    }

    fn qmp(&self) -> Result<Qmp> {
        Qmp::connect(&self.folder.path().join("qmp"))
    }
}

/// Halves the range between a size that fails and `most`, which must serve.
pub(super) fn smallest(most: u32, serves: impl Fn(u32) -> Result<()>) -> Result<u32> {
    let (mut fails, mut enough) = (0, most);
    serves(most).with_context(|| format!("the guest does not serve with {most} MiB"))?;
    while enough - fails > 1 {
        let middle = fails.midpoint(enough);
        match serves(middle) {
            Ok(()) => enough = middle,
            Err(_) => {
                process::check_stopped()?;
                fails = middle;
            }
        }
    }
    Ok(enough)
}

fn serves_with(subject: &Subject, mebibytes: u32) -> Result<()> {
    Run::start_with(subject, MemorySize(mebibytes), &[])?
        .first_answer()
        .map(drop)
}

/// The instructions that a guest executes in `time` while nobody asks it anything.
fn idle_instructions(subject: &Subject, time: Duration) -> Result<u64> {
    let mut run = Run::start(subject, &["-icount", "shift=0"])?;
    run.first_answer()?;
    let mut qmp = run.qmp()?;
    rest(SETTLE)?;
    let before = qmp.instructions()?;
    rest(time)?;
    Ok(qmp.instructions()? - before)
}

/// What a guest answers when nobody has asked it for a while.
pub(super) fn text_at_rest(subject: &Subject) -> Result<String> {
    let mut run = Run::start(subject, &[])?;
    run.first_answer()?;
    rest(SETTLE)?;
    http::text(run.address, PATIENCE)
}

/// Sleeps, and wakes when the user stops the command.
fn rest(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        process::check_stopped()?;
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    Ok(())
}

fn repeat<T>(times: usize, measure: impl Fn() -> Result<T>) -> Result<Vec<T>> {
    (0..times).map(|_| measure()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_serves_is_found() {
        let serves = |least: u32| {
            move |size: u32| {
                if size < least {
                    bail!("too small")
                } else {
                    Ok(())
                }
            }
        };
        assert_eq!(smallest(64, serves(1)).expect("found"), 1);
        assert_eq!(smallest(64, serves(17)).expect("found"), 17);
        assert_eq!(smallest(64, serves(64)).expect("found"), 64);
        assert!(smallest(64, serves(65)).is_err());
    }
}
