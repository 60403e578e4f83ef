//! `cargo landfall run` on boards that start from an SD card: QEMU's Orange Pi PC, from reset through U-Boot; and for a
//! card with Xen, QEMU's `virt` with a Cortex-A7.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use super::run::{Options, TAP, local};
use super::{build, image};
use crate::arguments::{self, Next};
use crate::card::models::EMULATED;
use crate::card::xen::{self, Settings};
use crate::card::{Card, u_boot};
use crate::cargo::Compilers;
use crate::console::Console;
use crate::guest::{Answer, Guest};
use crate::lab::forward;
use crate::process::supervised;
use crate::qemu::{CardMachine, Network, XenCardMachine};
use crate::qmp::Qmp;
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
        u_boot::sunxi(EMULATED.u_boot, None)?,
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

/// Starts QEMU with a card that starts Xen, whose dom0 creates the app's guest: the card in the file `card`, or one made
/// for this. Shows the console of all, until it is stopped.
pub(super) fn run_xen(
    workspace: &Workspace,
    app: &App,
    board: &Board,
    options: &Options,
    card: Option<&Path>,
) -> Result<ExitCode> {
    if let Some(name) = options.machine.given().find(|name| *name != TAP) {
        bail!("{name} is for board virt: the machine of this card is a Cortex-A7 with 1 GiB");
    }
    let Some(model) = xen::Model::of(&board.name) else {
        bail!(
            "there is no card for board {}: add --board cubieboard2",
            board.name
        );
    };
    let port = options.free_port(false)?;
    let qemu = programs::QEMU_32.get()?;
    let u_boot = u_boot::qemu()?;
    let place = tempfile::tempdir()?;
    let mut compilers = Compilers::new(workspace);
    let card = match card {
        Some(path) => {
            ensure!(
                options.arguments.is_empty(),
                "the card has its boot arguments already: in guests/{}.xl",
                app.name
            );
            ensure!(path.is_file(), "there is no card {}", path.display());
            path.to_owned()
        }
        None => {
            let apps = vec![(app.clone(), options.arguments.clone())];
            let Some(guests) = image::guests(workspace, &mut compilers, apps)? else {
                return Ok(ExitCode::SUCCESS);
            };
            let settings = Settings {
                hostname: model.name.parse()?,
                mac: None,
                keys: None,
            };
            let path = place.path().join("sd.img");
            image::xen_card(model, &settings, guests, None)?.write(&path)?;
            path
        }
    };
    let folder = build::images_folder(workspace, board);
    let image = build::build(&mut compilers, app, board, &folder)?;
    let machine = XenCardMachine {
        u_boot,
        card,
        tap: options.machine.tap.clone(),
        qmp: place.path().join("qmp"),
    };
    let console = Console::of(&image.elf, workspace.root());
    let mut guest = Guest::start(supervised(qemu).args(machine.words()), console, false)?;
    guest.serve(Answer::OnConsole, options.deadline(), |url| {
        let url = match machine.tap {
            Some(_) => url.to_owned(),
            None => reached(&machine.qmp, url, port),
        };
        println!("open {url}");
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Lets `port` of this machine reach the guest that listens at `url`, and returns the URL for it.
fn reached(qmp: &Path, url: &str, port: u16) -> String {
    let forwarded = || -> Result<u16> {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let guest: SocketAddrV4 = address.parse().context("the guest has no IPv4 address")?;
        forward(&mut Qmp::connect(qmp)?, port, guest)
    };
    match forwarded() {
        Ok(port) => format!("http://{}/", local(port)),
        Err(error) => {
            eprintln!("no port of this machine reaches the guest: {error:#}");
            url.to_owned()
        }
    }
}
