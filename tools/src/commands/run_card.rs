//! `cargo landfall run` on boards that start from an SD card: QEMU's Orange Pi PC, from reset through U-Boot, or its
//! Cubieboard, by the image itself.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::build;
use super::run::{MACHINE, Options, TAP, local};
use crate::arguments::{self, Next};
use crate::card::models::{EMULATED, Emulation, emulated};
use crate::card::{Card, device_tree, u_boot};
use crate::cargo::Compilers;
use crate::console::Console;
use crate::guest::{Answer, Guest};
use crate::process::supervised;
use crate::qemu::{CardMachine, Network, Start};
use crate::registry::{App, Board, Workspace};
use crate::setup::programs;

/// The options of machines that have a meaning here.
const OPTIONS: [&str; 3] = [TAP, "--defmt", MACHINE];

/// Builds an app, puts it on a card where its machine starts from one, starts the machine with it and shows its console until it ends.
pub(super) fn run(
    workspace: &Workspace,
    app: &App,
    board: &Board,
    options: &Options,
) -> Result<ExitCode> {
    if let Some(name) = options.machine.given().find(|name| !OPTIONS.contains(name)) {
        bail!("{name} is for board virt: a machine of board sunxi is as it is");
    }
    let model = options.machine.model.unwrap_or(EMULATED);
    let Some(emulation) = model.emulation else {
        let known: Vec<&str> = emulated().map(|model| model.name).collect();
        bail!(
            "QEMU plays no {}; it plays {}. For a card: cargo landfall image",
            model.name,
            known.join(" and ")
        );
    };
    let port = options.free_port(false)?;
    let qemu = programs::QEMU_32.get()?;
    let folder = build::images_folder(workspace, board);
    let mut compilers = Compilers::new(workspace).with_defmt(options.machine.defmt);
    let image = build::build(&mut compilers, app, board, &folder)?;
    if arguments::check(&image.path, &options.arguments)? == Next::End {
        return Ok(ExitCode::SUCCESS);
    }
    // The machine may write to its card: nobody else's copy.
    let place = tempfile::tempdir()?;
    let start = match emulation {
        Emulation::Card => {
            let u_boot = u_boot::get(model, None)?;
            let bytes = std::fs::read(&image.path)?;
            let path = place.path().join("sd.img");
            Card::new(u_boot, &app.name, bytes, &options.arguments).write(&path)?;
            Start::Card(path)
        }
        Emulation::Image { device_tree } => Start::Image {
            image: image.path,
            device_tree: device_tree::get(device_tree, None)?,
            arguments: options.arguments.clone(),
        },
    };
    let (network, answer) = match &options.machine.tap {
        Some(name) => (Network::Tap { name: name.clone() }, Answer::OnConsole),
        None => (options.user_network(port), Answer::At(local(port))),
    };
    let machine = CardMachine {
        start,
        network,
        trace: options.trace.clone(),
    };
    let console = Console::of(&image.elf, workspace.root());
    let mut guest = Guest::start(supervised(qemu).args(machine.words()), console, false)?;
    options.serve(&mut guest, answer)
}
