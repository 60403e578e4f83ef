//! Another machine, by the user's own `ssh`: its keys, agent, host names and settings count here too.
//!
//! [`Connection::open`] logs in once, and may ask for a password on the terminal; every command after it
//! shares that connection (ControlMaster and ControlPath of ssh_config(5)) and asks nothing.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Output, Stdio};
use std::str::FromStr;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{self, ChildGuard, supervised};
use crate::qemu::shell_word;
use crate::setup::programs;

/// How often the loop looks whether the login is done.
const TICK: Duration = Duration::from_millis(20);

/// ssh's own exit code, when the connection fails.
pub(crate) const BROKEN: u8 = 255;

/// A machine and a user on it, as ssh takes it: `USER@HOST`, a name in `~/.ssh/config`, `ssh://USER@HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination(String);

/// No machine that ssh could log in to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no machine for ssh: write USER@HOST, such as root@xen.example")]
pub(crate) struct BadDestination(String);

impl Destination {
    /// The machine without the user.
    pub(crate) fn host(&self) -> &str {
        self.0.rsplit_once('@').map_or(&self.0, |(_, host)| host)
    }
}

impl FromStr for Destination {
    type Err = BadDestination;

    fn from_str(text: &str) -> Result<Self, BadDestination> {
        let forbidden = |character: char| character.is_whitespace() || character.is_control();
        // What begins with a hyphen, ssh takes for an option.
        let bad = text.starts_with('-') || text.contains(forbidden);
        let destination = Self(text.to_owned());
        if bad || destination.host().is_empty() || text.starts_with('@') {
            return Err(BadDestination(text.to_owned()));
        }
        Ok(destination)
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A command on the other machine that failed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{how}{}{complaint}", if .complaint.is_empty() { "" } else { ": " })]
pub(crate) struct Failed {
    /// Its exit code, if it has one.
    pub(crate) code: Option<i32>,
    how: String,
    /// What it wrote to its error output.
    pub(crate) complaint: String,
}

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    ssh: PathBuf,
    destination: Destination,
    options: Vec<String>,
    /// Holds the socket that leads to the master.
    folder: TempDir,
    /// The ssh that is logged in.
    _master: ChildGuard,
}

impl Connection {
    /// Logs in, with `options` as for `ssh -o`. Without a terminal nothing is asked: what needs a password
    /// fails.
    pub(crate) fn open(destination: &Destination, options: &[String]) -> Result<Self> {
        let ssh = programs::SSH.get()?;
        let folder = tempfile::tempdir()?;
        let mut command = master(&ssh, folder.path());
        command.args(words(options)).arg("--").arg(&destination.0);
        let mut master = ChildGuard::spawn(&mut command)?;
        let messages = show_messages(master.child().stderr.take());
        if let Err(status) = wait_for_login(&mut master, folder.path())? {
            // A reader that has panicked has said so itself.
            let _shown = messages.join();
            bail!(
                "cannot log in to {destination} ({}); what ssh says is above{}",
                process::describe(status),
                advice()
            );
        }
        Ok(Self {
            ssh,
            destination: destination.clone(),
            options: options.to_vec(),
            folder,
            _master: master,
        })
    }

    /// Where it leads.
    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Runs a shell script there and returns its output. A script that fails is a [`Failed`].
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        self.output(self.command(&[], script).stdin(Stdio::null()))
    }

    /// Writes a copy of `file` there as `path`, whole or not at all.
    pub(crate) fn send(&self, file: &Path, path: &str) -> Result<()> {
        let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let (new, path) = (shell_word(&format!("{path}.new")), shell_word(path));
        let script = format!("cat > {new} && mv {new} {path} || {{ rm -f {new}; exit 1; }}");
        self.output(self.command(&[], &script).stdin(input))
            .with_context(|| format!("cannot copy {} to {}", file.display(), self.destination))?;
        Ok(())
    }

    /// Returns the command that runs a shell script there at a terminal, so that it ends with the connection.
    pub(crate) fn at_terminal(&self, script: &str) -> Command {
        self.command(&["-tt", "-e", "none"], script)
    }

    /// How the user types a command for there, at a terminal.
    pub(crate) fn shown(&self, command: &str) -> String {
        let options = self
            .options
            .iter()
            .map(|option| format!("-o {} ", shell_word(option)));
        let options: String = options.collect();
        format!(
            "ssh -t {options}{} {command}",
            shell_word(&self.destination.0)
        )
    }

    /// The script is handed to `sh`, whatever shell the user has there.
    fn command(&self, more: &[&str], script: &str) -> Command {
        let mut command = supervised(&self.ssh);
        command.args(["-q", "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o"]);
        command.arg(control_path(self.folder.path()));
        command.args(more).args(words(&self.options));
        command.arg("--").arg(&self.destination.0);
        command.arg(format!("sh -c {}", shell_word(script)));
        command
    }

    fn output(&self, command: &mut Command) -> Result<String> {
        let output = command.output().context("cannot start ssh")?;
        process::check_stopped()?;
        answer(&output)
    }
}

/// The standard output of what ran there, if it went well.
fn answer(output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failed {
        code: output.status.code(),
        how: process::describe(output.status),
        complaint: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
    .into())
}

/// The ssh that logs in and then serves the others. It is in this process's own group, or it could not ask
/// on the terminal; Ctrl-C is for this process, which ends it in its own time.
fn master(ssh: &Path, folder: &Path) -> Command {
    let mut command = supervised("sh");
    command.process_group(rustix::process::getpgrp().as_raw_nonzero().get());
    command
        .args(["-c", "trap '' INT; exec \"$0\" \"$@\""])
        .arg(ssh);
    command.args([
        "-N",
        "-o",
        "ControlMaster=yes",
        "-o",
        "ControlPersist=no",
        "-o",
    ]);
    command.arg(control_path(folder));
    if !asks() {
        command.args(["-o", "BatchMode=yes"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    command
}

/// Shows what ssh says, but for one complaint: that the input of [`Connection::at_terminal`] is no terminal.
fn show_messages(pipe: Option<ChildStderr>) -> JoinHandle<()> {
    const NO_TERMINAL: &str = "mux_master_process_new_session: tcgetattr";
    std::thread::spawn(move || {
        let lines = pipe
            .into_iter()
            .flat_map(|pipe| BufReader::new(pipe).split(b'\n'));
        for line in lines.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if !line.contains(NO_TERMINAL) {
                eprintln!("{}", line.trim_end());
            }
        }
    })
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("ssh")
}

fn control_path(folder: &Path) -> String {
    format!("ControlPath=\"{}\"", socket(folder).display())
}

/// The user's options, and after them those that hold where the user says nothing: ssh takes the first.
fn words(options: &[String]) -> impl Iterator<Item = &str> {
    const DEFAULTS: [&str; 2] = ["ConnectTimeout=15", "ServerAliveInterval=15"];
    let all = options.iter().map(String::as_str).chain(DEFAULTS);
    all.flat_map(|option| ["-o", option])
}

/// Waits until ssh has made its socket, which it does once it is logged in, or has ended.
fn wait_for_login(master: &mut ChildGuard, folder: &Path) -> Result<Result<(), ExitStatus>> {
    loop {
        process::check_stopped()?;
        if socket(folder).exists() {
            return Ok(Ok(()));
        }
        if let Some(status) = master.try_wait()? {
            process::check_stopped()?;
            return Ok(Err(status));
        }
        std::thread::sleep(TICK);
    }
}

/// Returns whether somebody is there to be asked for a password.
fn asks() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin())
}

fn advice() -> &'static str {
    if asks() {
        ""
    } else {
        ". Without a terminal it asks for no password: give the machine your key (ssh-copy-id)"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn destinations_cannot_be_taken_for_options() {
        for good in ["root@xen.example", "xen", "ssh://root@xen:2222", "root@::1"] {
            assert!(good.parse::<Destination>().is_ok(), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "root@", "@xen", "a b", "xen\n"] {
            assert!(bad.parse::<Destination>().is_err(), "{bad:?}");
        }
        let destination: Destination = "root@xen".parse().expect("a machine");
        assert_eq!(destination.host(), "xen");
    }

    #[test]
    fn the_users_options_come_first() {
        let options = ["ConnectTimeout=1".to_owned()];
        let words: Vec<&str> = words(&options).collect();
        assert_eq!(
            words[..4],
            ["-o", "ConnectTimeout=1", "-o", "ConnectTimeout=15"]
        );
    }

    #[test]
    fn a_failure_tells_what_was_said_there() {
        let output = |stderr: &str| Output {
            status: ExitStatus::from_raw(3 << 8),
            stdout: Vec::new(),
            stderr: stderr.into(),
        };
        let error = answer(&output("xl: no\n")).expect_err("it failed");
        assert_eq!(error.to_string(), "exit status 3: xl: no");
        let error = answer(&output("")).expect_err("it failed");
        assert_eq!(error.to_string(), "exit status 3");
    }
}
