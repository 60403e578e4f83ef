//! What can be soaked: [`Soaked`] is the guest that serves, at the far end of a cable where it has one.
//!
//! [`Emulated`] is here; a [`Process`] and a [`Domain`] of Xen have files of their own.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rustix::process::{Pid, Signal};

use super::Arguments;
use super::domain::Domain;
use super::metrics::Metrics;
use super::process::Process;
use crate::cargo::Compilers;
use crate::commands::build;
use crate::commands::wire::Far;
use crate::image::Cpu;
use crate::network::{GUEST, GUEST_ARGUMENTS, Namespace};
use crate::qemu::{Machine, Network};
use crate::registry::{Loader, Workspace};
use crate::server::{Running, Server};
use crate::setup::programs;

/// UDP ports of 127.0.0.1 in the namespace, in which nobody else is.
const WIRE_PORT: u16 = 7001;
const QEMU_PORT: u16 = 7002;

/// A guest that can be soaked.
pub(super) trait Soaked: Server {
    /// The guest's end of the cable; `None` where there can be no cable.
    fn cable_end(&self) -> Option<Far>;

    /// Adds what is seen of the guest from outside to what it says of itself.
    fn look(&self, _server: &Running, _metrics: &mut Metrics) -> Result<()> {
        Ok(())
    }

    /// Stops it, until [`Self::resume`].
    fn pause(&self, server: &Running) -> Result<()> {
        signal(server, Signal::STOP)
    }

    /// Lets it go on.
    fn resume(&self, server: &Running) -> Result<()> {
        signal(server, Signal::CONT)
    }

    /// The domain, whose network card has another half in dom0.
    fn domain(&self) -> Option<&Domain> {
        None
    }
}

fn signal(server: &Running, signal: Signal) -> Result<()> {
    let process = i32::try_from(server.process()).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        rustix::process::kill_process(process, signal)?;
    }
    Ok(())
}

/// Builds the app for the board, and makes ready what it needs in the namespace.
pub(super) fn prepare(
    workspace: &Workspace,
    arguments: &Arguments,
) -> Result<(Box<dyn Soaked>, Namespace)> {
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    let cpu = board.cpu();
    if board.loader == Some(Loader::Card) {
        bail!(
            "soak cannot start board {}, whose images go onto a card",
            board.name
        );
    }
    ensure!(
        !arguments.tap || cpu.is_none(),
        "--tap is for board unix: the others have a network card anyway"
    );
    ensure!(
        arguments.memory.is_none() || cpu.is_some(),
        "--memory is for machines, and board unix is a process"
    );
    if let Some(obstacle) = Namespace::obstacle() {
        bail!("soak {obstacle}");
    }
    programs::get_all(&[programs::IP])?;
    let folder = build::images_folder(workspace, &board);
    let image = build::build(&mut Compilers::new(workspace), &app, &board, &folder)?;
    let namespace = Namespace::new()?;
    let soaked: Box<dyn Soaked> = match (cpu, board.loader) {
        (None, _) => Box::new(Process::new(image.path, arguments.tap, &namespace)?),
        (Some(cpu), None) => Box::new(Emulated::new(cpu, &image.path, arguments)?),
        (Some(cpu), Some(_)) => {
            Box::new(Domain::new(cpu, &image.path, arguments.memory, &namespace)?)
        }
    };
    Ok((soaked, namespace))
}

/// An image on QEMU's machine.
struct Emulated {
    cpu: Cpu,
    machine: Machine,
}

impl Emulated {
    fn new(cpu: Cpu, image: &std::path::Path, arguments: &Arguments) -> Result<Self> {
        programs::get_all(&[cpu.qemu()])?;
        let network = Network::Wire {
            own: QEMU_PORT,
            other: WIRE_PORT,
        };
        let mut machine = Machine::new(cpu, image, network);
        machine.memory = arguments.memory.unwrap_or(machine.memory);
        machine.arguments.extend(GUEST_ARGUMENTS.map(str::to_owned));
        Ok(Self { cpu, machine })
    }
}

impl Server for Emulated {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        let mut command = namespace.command(self.cpu.qemu().get()?)?;
        command.args(self.machine.words());
        Ok(command)
    }

    fn host(&self) -> &str {
        GUEST
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }
}

impl Soaked for Emulated {
    fn cable_end(&self) -> Option<Far> {
        Some(Far::Ports(WIRE_PORT, QEMU_PORT))
    }
}
