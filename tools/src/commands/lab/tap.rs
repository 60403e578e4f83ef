//! `cargo landfall lab xen tap`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::lab::Lab;
use crate::lab::place::Place;
use crate::lab::tap::BRIDGE;
use crate::process;

/// How often it looks whether the lab is still up.
const TICK: Duration = Duration::from_millis(100);

/// Joins a tap of this machine to bridge xenbr2, until Ctrl-C
///
/// Guests on the bridge are then on the tap's network: this machine reaches each by its own address, at all ports,
/// by IPv4 and IPv6, and can be their DHCP server. The tap must exist; only one is joined at a time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ip tuntap add dev tap0 mode tap && ip address add 10.0.0.1/24 dev tap0 && ip link set tap0 up\n  \
    cargo landfall lab xen tap tap0\n  \
    cargo landfall run 2048 --board xenvm --tap tap0 -- ip=10.0.0.2/24    both in one")]
pub(super) struct Tap {
    /// The tap
    name: String,
}

impl Tap {
    pub(super) fn run(&self, place: &Place) -> Result<ExitCode> {
        let _joined = Lab::get(place)?.join(&self.name)?;
        eprintln!("bridge {BRIDGE} is on {}; Ctrl-C takes it off", self.name);
        loop {
            process::check_stopped()?;
            if Lab::find(place).is_none() {
                bail!("the lab is not up any more");
            }
            std::thread::sleep(TICK);
        }
    }
}
