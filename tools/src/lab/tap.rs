//! A tap of this machine on bridge xenbr2 of a lab: [`Joined`].
//!
//! dom0's second network card is in that bridge, and on a hub of QEMU's. A tap becomes another port of the hub: this
//! process opens it, for the lab's QEMU may be another user's or of another network namespace.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use serde_json::json;
use tun_rs::{DeviceBuilder, Layer};

use super::Lab;
use super::place::Place;
use crate::capture::network_device;
use crate::qmp::Qmp;

/// The bridge whose guests are on the tap.
pub(crate) const BRIDGE: &str = "xenbr2";

/// QEMU's number of the hub.
pub(super) const HUB: u8 = 1;

/// QEMU's names of the tap and of its port of the hub.
const TAP: &str = "tap";
const PORT: &str = "tap-port";

/// A tap that is on the bridge until this value is dropped.
#[derive(Debug)]
pub(crate) struct Joined {
    place: Place,
}

impl Lab {
    /// Joins a tap to bridge [`BRIDGE`]; one that was there before is taken off.
    pub(crate) fn join(&self, tap: &str) -> Result<Joined> {
        // It would be made, and gone again with this process.
        network_device(tap)?;
        let device = DeviceBuilder::new()
            .name(tap)
            .layer(Layer::L2)
            .inherit_enable_state()
            .build_sync()
            .map_err(|error| explained(tap, error))?;
        let mut qmp = self.qmp()?;
        part(&mut qmp);
        qmp.hand_over(device.as_fd(), TAP)?;
        let joined = Joined {
            place: self.place.clone(),
        };
        for port in [
            json!({ "type": "tap", "id": TAP, "fd": TAP }),
            json!({ "type": "hubport", "id": PORT, "hubid": HUB, "netdev": TAP }),
        ] {
            qmp.execute_with("netdev_add", &port)
                .with_context(|| format!("the lab cannot use tap {tap}"))?;
        }
        Ok(joined)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        // A lab that has ended has let go of it.
        if let Some(mut qmp) = Lab::find(&self.place).and_then(|lab| lab.qmp().ok()) {
            part(&mut qmp);
        }
    }
}

/// Takes the tap off, if there is one.
fn part(qmp: &mut Qmp) {
    for id in [PORT, TAP] {
        let _none = qmp.execute_with("netdev_del", &json!({ "id": id }));
    }
}

/// Says what is wrong about a tap that cannot be opened.
fn explained(tap: &str, error: std::io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("run this as root, or: ip tuntap add dev {tap} mode tap user NAME")
        }
        ErrorKind::ResourceBusy => "another process has it".to_owned(),
        _ => "is it a tap of one queue, and does this machine have /dev/net/tun?".to_owned(),
    };
    anyhow::Error::from(error).context(format!("cannot open tap {tap}: {advice}"))
}
