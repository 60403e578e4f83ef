//! An app as a process of this machine: on loopback with the machine's sockets, or on a tap with an IP stack of its own.
//!
//! What it has open and keeps in memory is read in `/proc` (proc(5)).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::metrics::{Memory, Metrics};
use super::soaked::Soaked;
use crate::commands::wire::Far;
use crate::network::{BRIDGED_TAPS, GUEST, GUEST_ARGUMENTS, GUEST_MAC, Namespace};
use crate::server::{Running, Server};

/// Bytes that may be resident afterwards beyond what was before: an allocator keeps what is free between what is not.
const SLACK: f64 = 1024.0 * 1024.0;

/// The state of a socket that listens, in `/proc/PID/net/tcp`.
const LISTEN: &str = "0A";

pub(super) struct Process {
    path: PathBuf,
    /// It has an IP stack of its own.
    tap: bool,
}

impl Process {
    pub(super) fn new(path: PathBuf, tap: bool, namespace: &Namespace) -> Result<Self> {
        if tap {
            namespace.add_bridge()?;
        }
        Ok(Self { path, tap })
    }
}

impl Server for Process {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        let mut command = namespace.command(&self.path)?;
        if self.tap {
            let [tap, _] = BRIDGED_TAPS;
            command.args([format!("tap={tap}"), format!("mac={GUEST_MAC}")]);
            command.args(GUEST_ARGUMENTS);
        }
        Ok(command)
    }

    fn host(&self) -> &str {
        if self.tap { GUEST } else { "127.0.0.1" }
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(15)
    }
}

impl Soaked for Process {
    fn cable_end(&self) -> Option<Far> {
        let [_, tap] = BRIDGED_TAPS;
        self.tap.then(|| Far::Tap(tap.to_owned()))
    }

    fn look(&self, server: &Running, metrics: &mut Metrics) -> Result<()> {
        let process = Path::new("/proc").join(server.process().to_string());
        let descriptors = Descriptors::read(&process)?;
        metrics
            .counts
            .push(("descriptors", descriptors.number as f64));
        if metrics.memory.is_none() {
            metrics.memory = Some(resident(&process)?);
        }
        if !self.tap {
            let open = descriptors.connections(&process)?;
            let state = (open > 0).then(|| ("open".to_owned(), open as f64));
            metrics.states = state.into_iter().collect();
            // The one that asked is closed, or about to be.
            metrics.own = 0.0;
        }
        Ok(())
    }
}

/// What a process has open.
struct Descriptors {
    number: usize,
    /// The inodes of those that are sockets.
    sockets: HashSet<String>,
}

impl Descriptors {
    fn read(process: &Path) -> Result<Self> {
        let folder = process.join("fd");
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder:?}"))?;
        let mut found = Self {
            number: 0,
            sockets: HashSet::new(),
        };
        for entry in entries {
            // One that is closed meanwhile is none.
            let Ok(target) = std::fs::read_link(entry?.path()) else {
                continue;
            };
            found.number += 1;
            found
                .sockets
                .extend(socket_in(&target.to_string_lossy()).map(str::to_owned));
        }
        Ok(found)
    }

    /// How many of the sockets are TCP connections.
    fn connections(&self, process: &Path) -> Result<usize> {
        let mut number = 0;
        for file in ["net/tcp", "net/tcp6"] {
            // A machine without IPv6 has but one of them.
            let table = std::fs::read_to_string(process.join(file)).unwrap_or_default();
            number += connections_in(&table)
                .filter(|it| self.sockets.contains(*it))
                .count();
        }
        Ok(number)
    }
}

/// The inode in `socket:[1234]`.
fn socket_in(link: &str) -> Option<&str> {
    link.strip_prefix("socket:[")?.strip_suffix(']')
}

/// The inodes of the sockets in a table that do not listen.
fn connections_in(table: &str) -> impl Iterator<Item = &str> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (state, inode) = (fields.nth(3)?, fields.nth(5)?);
        (state != LISTEN).then_some(inode)
    })
}

/// The memory that is the process's alone, without pages of files, which come at their first use.
fn resident(process: &Path) -> Result<Memory> {
    let status = std::fs::read_to_string(process.join("status"))?;
    let bytes = resident_in(&status).context("the process's status has no RssAnon")?;
    Ok(Memory {
        what: "resident",
        bytes,
        slack: SLACK,
    })
}

/// The bytes in the line `RssAnon:  1234 kB`.
fn resident_in(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|it| it.strip_prefix("RssAnon:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_proc_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n   \
             1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1\n";
        assert_eq!(connections_in(table).collect::<Vec<_>>(), ["12"]);
        assert_eq!(socket_in("socket:[12]"), Some("12"));
        assert_eq!(socket_in("/dev/null"), None);
        let status = "VmRSS:\t    5000 kB\nRssAnon:\t     100 kB\n";
        assert_eq!(resident_in(status), Some(102_400.0));
    }

    #[test]
    fn what_this_process_opens_is_seen() {
        let process = Path::new("/proc/self");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let before = Descriptors::read(process).expect("it is readable");
        let connections = before.connections(process).expect("it is readable");
        let _stream = std::net::TcpStream::connect(address).expect("somebody listens");
        let after = Descriptors::read(process).expect("it is readable");
        // Other tests of this process open and close, too.
        assert!(!after.sockets.is_subset(&before.sockets));
        assert!(after.connections(process).expect("it is readable") > connections);
        assert!(resident(process).expect("it is readable").bytes > 0.0);
    }
}
