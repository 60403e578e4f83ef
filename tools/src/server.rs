//! A system under load: a guest or a process in a network namespace of its own, and clients beside it.

use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::console::Console;
use crate::guest::Guest;
use crate::lab::platform::Architecture;
use crate::network::Namespace;
use crate::process::{self, ChildGuard};
use crate::qemu::GUEST_PORT;
use crate::setup::programs;

/// How often a client that runs is looked at.
const TICK: Duration = Duration::from_millis(20);

/// What serves in a namespace.
pub(crate) trait Server {
    /// The namespace: a new one, or one that it shares with others.
    fn namespace(&self) -> Result<Rc<Namespace>> {
        Namespace::new().map(Rc::new)
    }
    /// The command that starts it there. What it prints is the server's console, and it ends with the server.
    fn command(&self, namespace: &Namespace) -> Result<Command>;
    /// Where clients in the namespace find it.
    fn host(&self) -> &str;
    /// How long it may take to serve.
    fn deadline(&self) -> Duration;
    /// Where its client for bulk TCP runs.
    fn bulk_client(&self) -> BulkClient {
        BulkClient::InNamespace
    }
}

/// Where iperf3's client runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BulkClient {
    /// Beside all other clients.
    InNamespace,
    /// In dom0 of the Xen lab of an architecture, on a bridge with the guest.
    InDom0(Architecture),
}

/// A server that runs. It is ended before its namespace is removed.
pub(crate) struct Running {
    guest: Guest,
    namespace: Rc<Namespace>,
    host: String,
    bulk_client: BulkClient,
}

impl Running {
    /// Starts a server in its namespace and waits until it listens.
    pub(crate) fn start(server: &dyn Server) -> Result<Self> {
        Self::start_in(server.namespace()?, server)
    }

    /// The same in a namespace that is there.
    pub(crate) fn start_in(namespace: Rc<Namespace>, server: &dyn Server) -> Result<Self> {
        let mut running = Self {
            guest: Guest::start(&mut server.command(&namespace)?, Console::default(), true)?,
            namespace,
            host: server.host().to_owned(),
            bulk_client: server.bulk_client(),
        };
        let deadline = Instant::now() + server.deadline();
        while running.guest.console.url().is_none() {
            running.look()?;
            if Instant::now() >= deadline {
                bail!(
                    "the guest does not listen; its last line: {:?}",
                    running.guest.console.last_line()
                );
            }
        }
        Ok(running)
    }

    /// The server's process.
    pub(crate) fn process(&self) -> u32 {
        self.guest.process()
    }

    /// The server's host, for clients in its namespace.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The host and port of its page.
    pub(crate) fn web(&self) -> String {
        format!("{}:{GUEST_PORT}", self.host)
    }

    /// A client's command, to be run by [`Running::client`].
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        self.namespace.command(program)
    }

    /// The command of iperf3, without its words.
    pub(crate) fn iperf3(&self) -> Result<Command> {
        match self.bulk_client {
            BulkClient::InNamespace => self.command(programs::IPERF3.get()?),
            BulkClient::InDom0(architecture) => {
                let mut command = process::supervised("/proc/self/exe");
                command.args(architecture.lab(&["shell", "iperf3"]));
                Ok(command)
            }
        }
    }

    /// Runs a client while the server lives on; returns what the client prints on standard output, whatever its exit
    /// code is.
    pub(crate) fn client(&mut self, mut command: Command) -> Result<String> {
        let output = tempfile::NamedTempFile::new()?;
        command.stdin(Stdio::null()).stdout(output.reopen()?);
        let mut guard = ChildGuard::spawn(&mut command)?;
        while guard.try_wait()?.is_none() {
            self.look()?;
        }
        Ok(std::fs::read_to_string(output.path())?)
    }

    /// A hidden subcommand of this tool, to be run as a client.
    pub(crate) fn own(&self, words: &[&str]) -> Result<Command> {
        self.namespace.own(words)
    }

    /// Takes what the server prints for a moment. An error if it has ended, or if the user stops the command.
    pub(crate) fn look(&mut self) -> Result<()> {
        process::check_stopped()?;
        self.guest.pump(TICK);
        if let Some(status) = self.guest.ended()? {
            self.guest.verdict(status)?;
            bail!("the guest ended");
        }
        Ok(())
    }

    /// Waits, and sees that the server lives on.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.look()?;
        }
        Ok(())
    }
}
