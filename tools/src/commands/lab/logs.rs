//! `cargo landfall lab xen logs`: what Xen, dom0 and guests have printed.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::console::Console;
use crate::lab::Lab;
use crate::lab::agent::script;
use crate::lab::guests::{address_in, log};
use crate::lab::place::Place;
use crate::process;

/// How often the lab's console is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Shows what a guest has printed, or Xen and dom0
///
/// Guests' consoles are kept from their first byte, and after their end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen logs             Xen and dom0\n  \
    cargo landfall lab xen logs hello -f    a guest, as it goes on; Ctrl-C ends this")]
pub(super) struct Logs {
    /// The guest's name [default: none, Xen and dom0]
    guest: Option<String>,
    /// Go on with what is printed later
    #[arg(long, short)]
    follow: bool,
    /// Go on until the guest ends; the exit code is Xen's reason for that
    #[arg(long, hide = true, requires = "guest")]
    until_end: bool,
    /// Forward this port to where the guest says that it listens
    #[arg(long, hide = true, requires = "until_end")]
    port: Option<u16>,
}

/// What a guest prints, on its way to standard output.
struct Listener<'a> {
    lab: &'a Lab,
    port: Option<u16>,
    console: Console,
}

impl Write for Listener<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stdout().write_all(bytes)?;
        self.console.feed(bytes);
        if let Some(address) = self.console.url().and_then(address_in)
            && let Some(port) = self.port.take()
        {
            self.lab
                .forward(port, address)
                .map_err(std::io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

impl Logs {
    pub(super) fn run(&self, place: &Place) -> Result<ExitCode> {
        match &self.guest {
            Some(guest) => self.show_guest(&Lab::get(place)?, guest),
            None => self.show_console(place),
        }
    }

    fn show_guest(&self, lab: &Lab, guest: &str) -> Result<ExitCode> {
        let mut listener = Listener {
            lab,
            port: self.port,
            console: Console::default(),
        };
        let command = if self.until_end {
            script(&["exec", "/lab/follow", guest])
        } else {
            self.command(guest)
        };
        Ok(lab.agent().attach_with(&command, &mut listener)?.into())
    }

    /// The command for dom0 that shows a guest's log.
    fn command(&self, guest: &str) -> String {
        let log = log(guest);
        let show = if self.follow {
            "exec tail -n +1 -f"
        } else {
            "exec cat"
        };
        let unknown = "echo 'no guest of this name has been here: see xl list' >&2; exit 1";
        format!("[ -e {log} ] || {{ {unknown}; }}; {show} {log}")
    }

    fn show_console(&self, place: &Place) -> Result<ExitCode> {
        let path = place.console();
        let mut file = File::open(&path)
            .with_context(|| format!("cannot open {}; no lab was started here", path.display()))?;
        let mut stdout = std::io::stdout().lock();
        loop {
            match std::io::copy(&mut file, &mut stdout).and_then(|_| stdout.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                result => result?,
            }
            if !self.follow || Lab::find(place).is_none() {
                break;
            }
            process::check_stopped()?;
            std::thread::sleep(TICK);
        }
        Ok(ExitCode::SUCCESS)
    }
}
