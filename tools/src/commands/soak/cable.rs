//! The cable between clients and guest, which is a process in the namespace (`cargo landfall wire`).

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::commands::wire::{Done, Far, Faults};
use crate::network::TAP;
use crate::process::{self, ChildGuard};
use crate::server::Running;

pub(super) struct Cable(ChildGuard);

impl Cable {
    /// Plugs it in, at the clients' tap and at the guest's end.
    pub(super) fn start(server: &Running, guest: &Far, seed: u64) -> Result<Self> {
        let (guest, seed) = (guest.to_string(), seed.to_string());
        let mut command = server.own(&["wire", TAP, &guest, "--seed", &seed])?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(ChildGuard::spawn(&mut command)?))
    }

    /// From now on it has these faults.
    pub(super) fn set(&mut self, faults: &Faults) -> Result<()> {
        let orders = self
            .0
            .child()
            .stdin
            .as_mut()
            .context("the input is a pipe")?;
        writeln!(orders, "{}", serde_json::to_string(faults)?).context("the cable has ended")
    }

    /// Ends it; returns what it did.
    pub(super) fn end(mut self, server: &mut Running) -> Result<Done> {
        drop(self.0.child().stdin.take());
        let mut line = String::new();
        if let Some(output) = self.0.child().stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        while self.0.try_wait()?.is_none() {
            process::check_stopped()?;
            server.look()?;
        }
        serde_json::from_str(&line).context("the cable said nothing")
    }
}
