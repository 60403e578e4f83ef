//! `cargo landfall run` on boards that start from an SD card: QEMU's Orange Pi PC, from reset through U-Boot.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::build;
use super::run::{Options, TAP, local};
use crate::arguments::{self, Next};
use crate::card::models::EMULATED;
use crate::card::{Card, u_boot};
use crate::cargo::Compilers;
use crate::console::Console;
use crate::guest::{Answer, Guest};
use crate::process::supervised;
use crate::qemu::{CardMachine, Network};
use crate::registry::{App, Board, Workspace};
use crate::setup::programs;

/// The options of machines that have a meaning here.
const OPTIONS: [&str; 2] = [TAP, "--defmt"];

/// Builds an app, puts it on a card, starts the machine with it and shows its console until it ends.
pub(super) fn run(
    workspace: &Workspace,
    app: &App,
    board: &Board,
    options: &Options,
) -> Result<ExitCode> {
    if let Some(name) = options.machine.given().find(|name| !OPTIONS.contains(name)) {
        bail!("{name} is for board virt: the machine of this card is an Orange Pi PC");
    }
    let port = options.free_port(false)?;
    let qemu = programs::QEMU_32.get()?;
    let folder = build::images_folder(workspace, board);
    let mut compilers = Compilers::new(workspace).with_defmt(options.machine.defmt);
    let image = build::build(&mut compilers, app, board, &folder)?;
    if arguments::check(&image.path, &options.arguments)? == Next::End {
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = std::fs::read(&image.path)?;
    let card = Card::new(
        u_boot::get(EMULATED, None)?,
        &app.name,
        bytes,
        &options.arguments,
    );
    // The machine may write to it: nobody else's copy.
    let place = tempfile::tempdir()?;
    let path = place.path().join("sd.img");
    card.write(&path)?;
    let (network, answer) = match &options.machine.tap {
        Some(name) => (Network::Tap { name: name.clone() }, Answer::OnConsole),
        None => (options.user_network(port), Answer::At(local(port))),
    };
    let machine = CardMachine {
        card: path,
        network,
        trace: options.trace.clone(),
    };
    let console = Console::of(&image.elf, workspace.root());
    let mut guest = Guest::start(supervised(qemu).args(machine.words()), console, false)?;
    options.serve(&mut guest, answer)
}
