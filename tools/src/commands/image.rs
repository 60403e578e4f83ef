//! `cargo landfall image`: an SD card from which a board starts an app.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use super::build;
use super::lab::Source;
use super::run::{boot_argument, given};
use crate::arguments::{self, Next};
use crate::card::models::Model;
use crate::card::xen::{self, HostName, PublicKeys, Settings};
use crate::card::{Card, u_boot};
use crate::cargo::{Compilers, shown};
use crate::registry::{App, Board, Loader, Workspace};
use crate::setup::foreign::Mirror;
use crate::xl::{Config, MacAddress};

/// Writes an SD card for a board that starts from one
///
/// For `sunxi` the card has Debian's U-Boot, a boot script, the app's image, and its boot arguments in landfall.txt. For
/// `cubieboard2` and `cubietruck` it has Debian's U-Boot and Xen, a small Linux as dom0, and a folder `guests`: dom0
/// creates every guest whose .xl lies there, and keeps what all of them print on a second partition. Any computer can
/// change the files. What is Debian's is fetched the first time and not installed. The same parts give the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall image 2048 --board cubieboard2 --output sd.img\n  \
    cargo landfall image 2048 --board cubietruck --output sd.img --add hello --ssh-key ~/.ssh/id_ed25519.pub\n  \
    cargo landfall image 2048 --board sunxi --machine orangepi-plus --output sd.img\n  \
    cargo landfall image hello --board sunxi --machine nanopi-neo --output sd.img --arg port=80\n  \
    cargo landfall run 2048 --board cubieboard2 --card=sd.img         tries it, in QEMU\n  \
    sudo cargo landfall flash --image sd.img --device /dev/sdX        onto a card")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board: sunxi, cubieboard2 or cubietruck
    #[arg(long)]
    board: String,
    /// The file, which is made anew
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// A boot argument for the app
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = boot_argument)]
    arguments: Vec<String>,
    #[command(flatten)]
    bare: BareOptions,
    #[command(flatten)]
    xen: XenOptions,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options for board sunxi")]
struct BareOptions {
    /// The machine that U-Boot is for: orangepi-plus, nanopi-neo, orangepi-zero, cubieboard or cubieboard2
    #[arg(long, value_name = "NAME")]
    machine: Option<Model>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Options for boards that start Xen")]
struct XenOptions {
    /// One more app, as another guest; may be given again
    #[arg(long, value_name = "APP")]
    add: Vec<String>,
    /// What dom0 calls itself, to its DHCP server too [default: the board's name]
    #[arg(long, value_name = "NAME")]
    hostname: Option<HostName>,
    /// The MAC address of the board's Ethernet port [default: the chip's own]
    #[arg(long, value_name = "ADDRESS")]
    mac: Option<MacAddress>,
    /// Start sshd in dom0, and let in whoever has the private half of a key in this file
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
}

impl XenOptions {
    /// The first option that was given.
    fn given(&self) -> Option<&'static str> {
        given([
            (!self.add.is_empty(), "--add"),
            (self.hostname.is_some(), "--hostname"),
            (self.mac.is_some(), "--mac"),
            (self.ssh_key.is_some(), "--ssh-key"),
        ])
        .next()
    }

    fn settings(&self, model: xen::Model) -> Result<Settings> {
        let hostname = match &self.hostname {
            Some(name) => name.clone(),
            None => model.name.parse()?,
        };
        let keys = self.ssh_key.as_deref().map(public_keys).transpose()?;
        Ok(Settings {
            hostname,
            mac: self.mac,
            keys,
        })
    }
}

fn public_keys(path: &Path) -> Result<PublicKeys> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    text.parse().with_context(|| format!("--ssh-key {shown}"))
}

/// Builds and writes.
pub(crate) fn run(options: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&options.app)?;
    ensure!(
        !options.output.is_dir(),
        "{} is a folder: name a file, such as {0}/sd.img",
        options.output.display()
    );
    let card = match xen::Model::of(&options.board) {
        Some(model) => options.for_xen(&workspace, app, model)?,
        None => options.for_bare_metal(&workspace, &app)?,
    };
    let Some((card, machine)) = card else {
        return Ok(ExitCode::SUCCESS);
    };
    card.write(&options.output)?;
    eprintln!(
        "{} for {machine}, {} bytes on it",
        shown(&options.output),
        card.payload(),
    );
    println!("{}", shown(&options.output));
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// The card and the name of the machine; none where the user only wanted help.
    fn for_bare_metal(
        &self,
        workspace: &Workspace,
        app: &App,
    ) -> Result<Option<(Card, &'static str)>> {
        let board = workspace.board(&self.board)?;
        if board.loader != Some(Loader::Card) {
            bail!(
                "board {} does not start from a card: add --board sunxi or --board cubieboard2",
                board.name
            );
        }
        if let Some(option) = self.xen.given() {
            bail!("{option} is for boards that start Xen: add --board cubieboard2");
        }
        let machine = self.bare.machine.with_context(|| {
            format!(
                "--machine says which board U-Boot is for: {}",
                Model::names()
            )
        })?;
        let u_boot = u_boot::sunxi(machine.u_boot, self.source.mirror()?)?;
        let folder = build::images_folder(workspace, &board);
        let image = build::build(&mut Compilers::new(workspace), app, &board, &folder)?;
        if arguments::check(&image.path, &self.arguments)? == Next::End {
            return Ok(None);
        }
        let bytes = std::fs::read(&image.path)?;
        let card = Card::new(u_boot, &app.name, bytes, &self.arguments);
        Ok(Some((card, machine.name)))
    }

    /// See [`Self::for_bare_metal`].
    fn for_xen(
        &self,
        workspace: &Workspace,
        app: App,
        model: xen::Model,
    ) -> Result<Option<(Card, &'static str)>> {
        ensure!(
            self.bare.machine.is_none(),
            "--machine is for board sunxi: {} is the machine",
            model.name
        );
        let settings = self.xen.settings(model)?;
        let others = self.xen.add.iter().map(|name| workspace.app(name));
        let others = others.collect::<Result<Vec<App>>>()?;
        let apps = std::iter::once((app, self.arguments.clone()))
            .chain(others.into_iter().map(|app| (app, Vec::new())))
            .collect();
        let mut compilers = Compilers::new(workspace);
        let Some(guests) = guests(workspace, &mut compilers, apps)? else {
            return Ok(None);
        };
        let card = xen_card(model, &settings, guests, self.source.mirror()?)?;
        Ok(Some((card, model.name)))
    }
}

/// The board whose images are guests on these cards.
const GUESTS_OF: &str = "cubieboard2";

/// Builds apps, with boot arguments for each, as guests of a card's Xen; none where the user only wanted help.
pub(super) fn guests(
    workspace: &Workspace,
    compilers: &mut Compilers,
    apps: Vec<(App, Vec<String>)>,
) -> Result<Option<Vec<xen::Guest>>> {
    let board: Board = workspace.board(GUESTS_OF)?;
    let folder = build::images_folder(workspace, &board);
    let mut guests = Vec::new();
    for (app, words) in apps {
        let image = build::build(compilers, &app, &board, &folder)?;
        if arguments::check(&image.path, &words)? == Next::End {
            return Ok(None);
        }
        let file = board.image_file(&app);
        let mut config = Config::new(board.domain_name(&app).parse()?, file.parse()?);
        for word in &words {
            config.arguments.push(word.parse()?);
        }
        guests.push(xen::Guest {
            file,
            image: std::fs::read(&image.path)?,
            config,
        });
    }
    Ok(Some(guests))
}

/// A card that starts Xen, what is Debian's fetched where it is not there yet.
pub(super) fn xen_card(
    model: xen::Model,
    settings: &Settings,
    guests: Vec<xen::Guest>,
    mirror: Option<Mirror>,
) -> Result<Card> {
    let parts = xen::Parts::get(mirror.clone())?;
    xen::card(model, &parts, settings, guests, mirror)
}
