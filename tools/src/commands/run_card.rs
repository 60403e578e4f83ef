//! `cargo landfall run` on boards that start from an SD card: QEMU's Orange Pi PC, from reset through U-Boot, or its
//! Cubieboard, by the image itself; and for a card with Xen, QEMU's `virt` with a Cortex-A7.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use super::run::{MACHINE, Options, TAP, local};
use super::{build, image};
use crate::arguments::{self, Next};
use crate::card::models::{EMULATED, Emulation, emulated};
use crate::card::xen::{self, Settings};
use crate::card::{Card, device_tree, u_boot};
use crate::cargo::Compilers;
use crate::console::Console;
use crate::guest::{Answer, Guest};
use crate::lab::forward;
use crate::process::supervised;
use crate::qemu::{CardMachine, Network, Start, XenCardMachine};
use crate::qmp::Qmp;
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
            let u_boot = u_boot::sunxi(model.u_boot, None)?;
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
