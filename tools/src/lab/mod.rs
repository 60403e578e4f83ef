//! The Xen lab: a real Xen with a real Linux dom0 and the real `xl`, in QEMU, on one machine.
//!
//! [`platform`] is the table of architectures. [`parts`] makes what is booted from Debian's packages, by the
//! [`recipe`] in [`dom0`] and by way of [`tree`] (files of packages), [`libraries`] and [`modules`] (what depends on what) and [`initramfs`].
//! [`boot`] starts it, [`place`] is the folder in which a lab is written down, [`Lab`] one that is up,
//! [`stay`] one for as long as a command needs it, [`agent`] runs commands in its dom0, and [`tap`] joins a tap of
//! this machine to a bridge of dom0, and [`trace`] keeps the frames of a guest.

pub(crate) mod agent;
pub(crate) mod boot;
pub(crate) mod dom0;
pub(crate) mod guests;
pub(crate) mod initramfs;
mod libraries;
pub(crate) mod linux_guest;
mod modules;
pub(crate) mod parts;
pub(crate) mod place;
pub(crate) mod platform;
pub(crate) mod recipe;
pub(crate) mod stay;
pub(crate) mod tap;
pub(crate) mod terminal;
pub(crate) mod trace;
pub(crate) mod tree;

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use self::agent::Agent;
use self::place::{Place, Record};
use crate::qmp::Qmp;

/// How the addresses of QEMU's user network begin, 10.0.2.0/24. Bridge xenbr0 is in it.
const USER_NETWORK: [u8; 3] = [10, 0, 2];

/// How long QEMU may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// A lab that is up.
#[derive(Debug)]
pub(crate) struct Lab {
    place: Place,
    record: Record,
}

impl Lab {
    /// The lab at `place`, if it is up.
    pub(crate) fn find(place: &Place) -> Option<Self> {
        let record = place.read()?;
        let up = record.ready && place.is_alive(&record);
        up.then(|| Self {
            place: place.clone(),
            record,
        })
    }

    /// The lab at `place`, which must be up.
    pub(crate) fn get(place: &Place) -> Result<Self> {
        Self::find(place).context("the lab is not up: start it with `cargo landfall lab xen up`, and the same --arch as here if there is one")
    }

    /// What is written down about it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The way to run commands in dom0.
    pub(crate) fn agent(&self) -> Agent {
        Agent::new(self.record.agent_port, &self.record.token)
    }

    /// QEMU's control socket.
    fn qmp(&self) -> Result<Qmp> {
        Qmp::connect(&self.place.qmp())
    }

    /// Lets connections to `port` of 127.0.0.1 reach `guest`, an address of bridge xenbr0; an earlier forward of
    /// the port ends. Returns the port: for 0 a free one is taken.
    pub(crate) fn forward(&self, port: u16, guest: SocketAddrV4) -> Result<u16> {
        ensure!(
            guest.ip().octets().starts_with(&USER_NETWORK),
            "{guest} is not on bridge xenbr0 (10.0.2.0/24), and only guests there can be reached from this machine; \
             in dom0, try `cargo landfall lab xen shell wget -O - http://{guest}/`"
        );
        let mut qmp = self.qmp()?;
        if forwards(&mut qmp)?.iter().any(|(taken, _)| *taken == port) {
            unforward(&mut qmp, port)?;
        }
        forward(&mut qmp, port, guest)
    }

    /// Ends the forward of a port.
    pub(crate) fn unforward(&self, port: u16) -> Result<()> {
        unforward(&mut self.qmp()?, port)
    }

    /// The ports of 127.0.0.1 that are forwarded, and where to. One of them leads to dom0's agent.
    pub(crate) fn forwards(&self) -> Result<Vec<(u16, SocketAddrV4)>> {
        forwards(&mut self.qmp()?)
    }
}

/// See [`Lab::forward`]; for any QEMU whose network is called `net0`.
pub(crate) fn forward(qmp: &mut Qmp, port: u16, guest: SocketAddrV4) -> Result<u16> {
    let (address, guest_port) = (guest.ip(), guest.port());
    let before = forwards(qmp)?;
    let answer = qmp.monitor(&format!(
        "hostfwd_add net0 tcp:127.0.0.1:{port}-{address}:{guest_port}"
    ))?;
    ensure!(
        answer.trim().is_empty(),
        "port {port} of this machine cannot be forwarded to {guest}: {}; is the port in use?",
        answer.trim()
    );
    let mut after = forwards(qmp)?;
    after.retain(|forward| !before.contains(forward));
    let (taken, _) = after
        .first()
        .context("QEMU does not say which port it took")?;
    Ok(*taken)
}

fn unforward(qmp: &mut Qmp, port: u16) -> Result<()> {
    qmp.monitor(&format!("hostfwd_remove net0 tcp:127.0.0.1:{port}"))
        .map(drop)
}

fn forwards(qmp: &mut Qmp) -> Result<Vec<(u16, SocketAddrV4)>> {
    let usernet = qmp.monitor("info usernet")?;
    Ok(usernet.lines().filter_map(forward_in).collect())
}

/// A forward in a line of QEMU's `info usernet`: `TCP[HOST_FORWARD] FD ADDRESS PORT ADDRESS PORT QUEUES`.
fn forward_in(line: &str) -> Option<(u16, SocketAddrV4)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["TCP[HOST_FORWARD]", _, _, port, guest, guest_port, ..] = words[..] else {
        return None;
    };
    let guest = SocketAddrV4::new(guest.parse().ok()?, guest_port.parse().ok()?);
    Some((port.parse().ok()?, guest))
}

/// Ends the lab of `record`, ready or not, and removes what is written about it.
pub(crate) fn end(place: &Place, record: &Record) -> Result<()> {
    if place.is_alive(record) {
        // A QEMU that does not listen any more is killed below.
        let _deaf = Qmp::connect(&place.qmp()).and_then(|mut qmp| qmp.execute("quit"));
        let deadline = Instant::now() + GRACE;
        while place.is_alive(record) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    if place.is_alive(record)
        && let Some(pid) = i32::try_from(record.pid).ok().and_then(Pid::from_raw)
    {
        rustix::process::kill_process(pid, Signal::KILL)
            .with_context(|| format!("cannot end the lab's QEMU, process {}", record.pid))?;
    }
    place.clear(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read_from_qemus_table() {
        let forwarded =
            "  TCP[HOST_FORWARD]  12       127.0.0.1 35107      10.0.2.100     7     0     0";
        let guest = "10.0.2.100:7".parse().expect("an address");
        assert_eq!(forward_in(forwarded), Some((35107, guest)));
        for other in [
            "Hub -1 (net0):",
            "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ",
            "  TCP[ESTABLISHED]   14       127.0.0.1 35107      10.0.2.100     7     0     0",
        ] {
            assert_eq!(forward_in(other), None);
        }
    }
}
