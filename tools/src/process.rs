//! Child processes that never outlive this one: signals, waiting, and the `supervise` re-execution.
//!
//! A child is started through [`supervised`]: this executable again, which asks the kernel to be killed
//! with its parent and then turns into the program. That needs no `unsafe` and leaves nothing running
//! when this process is killed.

use std::ffi::OsStr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};

/// Exit code after Ctrl-C, as shells count it: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// How often a waiting loop looks at its child and at the signals.
const TICK: Duration = Duration::from_millis(20);

/// How long a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(2);

static STOPPED: AtomicBool = AtomicBool::new(false);

/// The user ended the command (Ctrl-C, SIGTERM, SIGHUP, or who read what it prints has left).
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// From now on Ctrl-C, SIGTERM and SIGHUP set a flag that [`stopped`] reads, so that guards can clean up.
pub(crate) fn watch_signals() -> Result<()> {
    ctrlc::set_handler(stop).context("cannot watch for Ctrl-C")
}

/// Asks the command to end, as Ctrl-C does.
pub(crate) fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Returns whether the user asked the command to end.
pub(crate) fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Returns [`Interrupted`] once the user asked the command to end.
pub(crate) fn check_stopped() -> Result<()> {
    if stopped() {
        Err(Interrupted.into())
    } else {
        Ok(())
    }
}

/// Returns a command that runs `program` in a process group of its own and dies with this process.
///
/// The kernel watches the thread that starts the child: start it from one that lives as long as it.
pub(crate) fn supervised(program: impl AsRef<OsStr>) -> Command {
    let mut command = accompanied(program);
    command.process_group(0);
    command
}

/// The same in this process's group, for a program that talks to the user in the terminal.
pub(crate) fn accompanied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("supervise")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program);
    command
}

/// The other half of [`supervised`]: ties this process to `parent` and becomes `program`.
pub(crate) fn supervise(
    parent: u32,
    program: &[std::ffi::OsString],
) -> Result<std::convert::Infallible> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above took effect.
    let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    anyhow::ensure!(now == parent, "the parent process is gone");
    let (name, arguments) = program.split_first().context("no program to supervise")?;
    let error = Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", name.to_string_lossy()))
}

/// A child process that is ended when this value is dropped.
pub(crate) struct ChildGuard {
    child: Child,
    released: bool,
}

impl ChildGuard {
    /// Starts `command`.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self {
            child,
            released: false,
        })
    }

    /// The child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The child's process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the exit status when the child has ended.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the child, at most until `deadline`; ends early when the user stops the command.
    pub(crate) fn wait_until(&mut self, deadline: Option<Instant>) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.try_wait()? {
                check_stopped()?;
                return Ok(Some(status));
            }
            check_stopped()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            std::thread::sleep(TICK);
        }
    }

    /// Lets the child live on after this process.
    pub(crate) fn release(mut self) {
        self.released = true;
    }

    /// Ends the child: SIGTERM, and SIGKILL when it does not heed that.
    pub(crate) fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile: there is nothing left to do then.
            let _gone = rustix::process::kill_process(pid, Signal::TERM);
        }
        let patience = Instant::now() + GRACE;
        while Instant::now() < patience {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(TICK);
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if !self.released {
            self.stop();
        }
    }
}

/// Runs `command` to its end, with its output where the command was told to put it.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let mut guard = ChildGuard::spawn(command)?;
    let status = guard.wait_until(None)?;
    status.context("the wait without a deadline ends with a status")
}

/// Runs `command`; a non-zero exit is an error that says `what` failed.
pub(crate) fn run_checked(command: &mut Command, what: &str) -> Result<()> {
    let status = run(command)?;
    anyhow::ensure!(status.success(), "{what} failed: {}", describe(status));
    Ok(())
}

/// Returns the standard output of a command that answers at once and must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    anyhow::ensure!(
        status.success(),
        "{name} failed ({}): {}",
        describe(status),
        String::from_utf8_lossy(&stderr).trim()
    );
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Says how a process ended: "exit status 2", "killed by signal 9".
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}

/// Returns where `program` lies on `PATH` or in the folders of system tools.
pub(crate) fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(std::path::PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_read_as_words() {
        assert_eq!(describe(ExitStatus::from_raw(2 << 8)), "exit status 2");
        assert_eq!(describe(ExitStatus::from_raw(9)), "killed by signal 9");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }

    #[test]
    fn a_guard_ends_its_child() {
        let mut guard = ChildGuard::spawn(Command::new("sleep").arg("60")).expect("sleep starts");
        let start = Instant::now();
        guard.stop();
        assert!(start.elapsed() < GRACE);
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let mut guard = ChildGuard::spawn(Command::new("sleep").arg("60")).expect("sleep starts");
        let status = guard
            .wait_until(Some(Instant::now()))
            .expect("the wait works");
        assert!(status.is_none());
    }
}
