//! The frames of a guest's network card, kept in a pcap file of this machine: [`Trace`].
//!
//! tcpdump in dom0 listens at the guest's `vif`, dom0's half of the card, where nothing of other guests passes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::Lab;
use super::agent::script;
use crate::process::{ChildGuard, supervised};

/// What tcpdump says when it hears every frame from then on.
const READY: &str = "listening on";

/// A trace that goes on until this value is dropped, or the guest has ended.
pub(crate) struct Trace {
    _tcpdump: ChildGuard,
}

impl Lab {
    /// Begins to keep the frames of a guest's first network card in `file`. The guest may be paused.
    pub(crate) fn trace(&self, guest: &str, file: &Path) -> Result<Trace> {
        let domain = self.agent().output(&script(&["xl", "domid", guest]))?;
        let vif = format!("vif{}.0", domain.trim());
        let output =
            File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = supervised("/proc/self/exe");
        // Each frame is written at once, for who reads along and for the end of the guest.
        let tcpdump = [
            "tcpdump",
            "-i",
            &vif,
            "-n",
            "-U",
            "--immediate-mode",
            "-Z",
            "root",
            "-w",
            "-",
        ];
        command
            .args([
                "lab",
                "xen",
                "--arch",
                self.record.architecture.platform().debian,
                "shell",
            ])
            .args(tcpdump)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped());
        let mut tcpdump = ChildGuard::spawn(&mut command)?;
        let words = tcpdump.child().stderr.take();
        let mut words = BufReader::new(words.context("the error output is a pipe")?);
        wait(&mut words)?;
        // It must not wait for a reader of what it says later, and nobody needs that.
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        Ok(Trace { _tcpdump: tcpdump })
    }
}

/// Waits until tcpdump is ready.
fn wait(words: &mut impl BufRead) -> Result<()> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if words.read_line(&mut line)? == 0 {
            bail!("tcpdump in dom0 does not start: {}", said.trim());
        }
        if line.contains(READY) {
            return Ok(());
        }
        said.push_str(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tcpdump_complains_about_is_shown() {
        let mut ready = &b"tcpdump: listening on vif3.0, link-type EN10MB\n"[..];
        assert!(wait(&mut ready).is_ok());
        let mut complaint = &b"tcpdump: vif9.0: No such device exists\n"[..];
        let error = wait(&mut complaint).expect_err("it has ended");
        assert!(error.to_string().contains("vif9.0"), "{error}");
    }
}
