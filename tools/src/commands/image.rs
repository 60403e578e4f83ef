//! `cargo landfall image`: an SD card from which a board starts an app.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use super::build;
use super::lab::Source;
use super::run::boot_argument;
use crate::arguments::{self, Next};
use crate::card::models::Model;
use crate::card::{Card, u_boot};
use crate::cargo::{Compilers, shown};
use crate::registry::{Loader, Workspace};

/// Writes an SD card for a board that starts from one: U-Boot, a boot script, and the app's image
///
/// U-Boot is Debian's, fetched the first time and not installed. The card has one FAT partition, so that any computer
/// can change its files: landfall.txt has the boot arguments, boot.cmd says what U-Boot does. The same parts give the
/// same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall image 2048 --board sunxi --machine orangepi-plus --output sd.img\n  \
    cargo landfall image hello --board sunxi --machine nanopi-neo --output sd.img --arg port=80\n  \
    sudo cargo landfall flash --image sd.img --device /dev/sdX        onto a card")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long)]
    board: String,
    /// The machine that U-Boot is for: orangepi-plus, nanopi-neo, orangepi-zero or cubieboard
    #[arg(long, value_name = "NAME")]
    machine: Model,
    /// The file, which is made anew
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// A boot argument for the app
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = boot_argument)]
    arguments: Vec<String>,
    #[command(flatten)]
    source: Source,
}

/// Builds and writes.
pub(crate) fn run(options: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&options.app)?;
    let board = workspace.board(&options.board)?;
    if board.loader != Some(Loader::Card) {
        bail!(
            "board {} does not start from a card: add --board sunxi",
            board.name
        );
    }
    ensure!(
        !options.output.is_dir(),
        "{} is a folder: name a file, such as {0}/sd.img",
        options.output.display()
    );
    let u_boot = u_boot::get(options.machine, options.source.mirror()?)?;
    let folder = build::images_folder(&workspace, &board);
    let image = build::build(&mut Compilers::new(&workspace), &app, &board, &folder)?;
    if arguments::check(&image.path, &options.arguments)? == Next::End {
        return Ok(ExitCode::SUCCESS);
    }
    let card = Card::new(
        u_boot,
        &app.name,
        std::fs::read(&image.path)?,
        &options.arguments,
    );
    card.write(&options.output)?;
    eprintln!(
        "{} for {}, {} bytes on it, {} of them the app's",
        shown(&options.output),
        options.machine.name,
        card.payload(),
        image.bytes
    );
    println!("{}", shown(&options.output));
    Ok(ExitCode::SUCCESS)
}
