//! A network of its own for measurements: a namespace with a tap, made and removed by the command.
//!
//! Nothing of it is seen outside of the namespace, so it cannot clash with the user's networks. The
//! guest gets a permanent neighbour entry: waiting for ARP would round the measured times to seconds.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process;
use crate::setup::programs;

/// The tap inside the namespace.
pub(crate) const TAP: &str = "tap0";
/// Taps inside the namespace between which a bridge is, where [`Namespace::add_bridge`] has made them.
pub(crate) const BRIDGED_TAPS: [&str; 2] = ["tap1", "tap2"];
const BRIDGE: &str = "bridge0";
/// The boot arguments that give the guest its place in the network.
pub(crate) const GUEST_ARGUMENTS: [&str; 2] = ["ip=10.77.0.2/24", "gateway=10.77.0.1"];
/// The guest's address.
pub(crate) const GUEST: &str = "10.77.0.2";
const HOST: &str = "10.77.0.1/24";
/// The address that QEMU gives its first network device.
pub(crate) const GUEST_MAC: &str = "52:54:00:12:34:56";

/// A network namespace with a tap, removed when this value is dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Returns why this user or machine cannot have one.
    pub(crate) fn obstacle() -> Option<&'static str> {
        if !rustix::process::geteuid().is_root() {
            return Some("needs root, for a tap in a network namespace");
        }
        (!Path::new("/dev/net/tun").exists()).then_some("needs /dev/net/tun (modprobe tun)")
    }

    /// Makes the namespace and its tap, for a guest at [`GUEST`].
    pub(crate) fn new() -> Result<Self> {
        let namespace = Self::with_address(HOST)?;
        namespace.know(GUEST, GUEST_MAC)?;
        Ok(namespace)
    }

    /// Makes the namespace and its tap, on which this machine has `address`, as in 10.77.0.1/24.
    pub(crate) fn with_address(address: &str) -> Result<Self> {
        if let Some(obstacle) = Self::obstacle() {
            anyhow::bail!("{obstacle}");
        }
        // A process may have several.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("landfall-{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        // From here on dropping the value removes what was made.
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        namespace.ip(&["tuntap", "add", "dev", TAP, "mode", "tap"])?;
        namespace.ip(&["address", "add", address, "dev", TAP])?;
        namespace.ip(&["link", "set", TAP, "up"])?;
        Ok(namespace)
    }

    /// Makes two more taps, and a bridge between them: what one process sends on one of them, the process on the other
    /// receives.
    pub(crate) fn add_bridge(&self) -> Result<()> {
        let words = "type bridge forward_delay 0 stp_state 0";
        let words: Vec<&str> = words.split(' ').collect();
        self.ip(&[&["link", "add", BRIDGE][..], &words].concat())?;
        self.ip(&["link", "set", BRIDGE, "up"])?;
        for tap in BRIDGED_TAPS {
            self.ip(&["tuntap", "add", "dev", tap, "mode", "tap"])?;
            self.ip(&["link", "set", tap, "master", BRIDGE, "up"])?;
        }
        Ok(())
    }

    /// Says which hardware address the guest at `address` has.
    pub(crate) fn know(&self, address: &str, mac: &str) -> Result<()> {
        self.ip(&[
            "neighbour",
            "replace",
            address,
            "lladdr",
            mac,
            "dev",
            TAP,
            "nud",
            "permanent",
        ])
    }

    fn ip(&self, words: &[&str]) -> Result<()> {
        let words: Vec<&str> = ["-n", &self.name]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        ip(&words)
    }

    /// A command that runs `program` inside and dies with this process.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = process::supervised(programs::IP.get()?);
        command.args(["netns", "exec", &self.name]).arg(program);
        Ok(command)
    }

    /// Runs `work` in a thread of this process that is inside.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        // Where `ip netns` puts them.
        let path = Path::new("/run/netns").join(&self.name);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let thread = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter the network namespace")?;
            work()
        };
        std::thread::scope(|scope| match scope.spawn(thread).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A command that runs this tool's own hidden subcommand inside.
    pub(crate) fn own(&self, words: &[&str]) -> Result<Command> {
        // Not by /proc/self/exe: inside, that would be `ip`.
        let tool = std::env::current_exe().context("this program has no path")?;
        let mut command = self.command(tool)?;
        command.args(words);
        Ok(command)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The tap goes with it.
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!(
                "warning: the network namespace {} is left over: {error:#}",
                self.name
            );
        }
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let mut command = Command::new(programs::IP.get()?);
    let output = command.args(words).output().context("cannot start ip")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        message.trim()
    );
    Ok(())
}
