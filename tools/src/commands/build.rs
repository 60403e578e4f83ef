//! `cargo landfall build`: from an app's source to the image of a board.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cargo::{Compilers, shown};
use crate::image::{self, Section};
use crate::qemu::{GUEST_PORT, Machine, Network, shell_word};
use crate::registry::{App, Board, Workspace};

/// Builds an app's image for a board and prints its path
///
/// The image is what you ship: for board `virt` a flat image that QEMU and other loaders of arm64 kernels
/// take, for `unix` an executable. Beside an image lies the ELF file it was made from, with the debug
/// information. The last line on standard output is the image's path.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall build hello --board virt                build target/landfall/images/hello-virt.img\n  \
    cargo landfall build 2048 --board virt --output out    put it into the folder out\n  \
    cargo landfall build 2048 --board virt --json          also its sections and the line that starts it")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "unix")]
    board: String,
    /// The folder for the image [default: landfall/images in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print one JSON object: path, elf, bytes, sections, run
    #[arg(long)]
    json: bool,
}

/// What a build made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Image {
    /// What is shipped: the flat image or the executable.
    pub(crate) path: PathBuf,
    /// The file with the debug information.
    pub(crate) elf: PathBuf,
    /// The size of `path`.
    pub(crate) bytes: u64,
    /// The parts of a flat image.
    pub(crate) sections: Vec<Section>,
    /// The command line that starts it.
    pub(crate) run: String,
}

/// Builds and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    let folder = arguments
        .output
        .clone()
        .unwrap_or_else(|| images_folder(&workspace));
    let image = build(&mut Compilers::new(&workspace), &app, &board, &folder)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&image)?);
    } else {
        println!("{}", shown(&image.path));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where images go when the user names no folder.
pub(crate) fn images_folder(workspace: &Workspace) -> PathBuf {
    workspace.target_directory().join("landfall/images")
}

/// Builds `app` for `board` into `folder`.
pub(crate) fn build(
    compilers: &mut Compilers,
    app: &App,
    board: &Board,
    folder: &Path,
) -> Result<Image> {
    let executable = compilers.build(app, board)?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let folder = std::path::absolute(folder)?;
    let name = format!("{}-{}", app.name, board.name);
    if board.target.is_none() {
        let path = folder.join(name);
        copy(&executable, &path)?;
        let run = format!("{} port={GUEST_PORT}", shell_word(&path.to_string_lossy()));
        let bytes = path.metadata()?.len();
        return Ok(Image {
            elf: path.clone(),
            path,
            bytes,
            sections: Vec::new(),
            run,
        });
    }
    let (path, elf) = (
        folder.join(format!("{name}.img")),
        folder.join(format!("{name}.elf")),
    );
    copy(&executable, &elf)?;
    let (bytes, sections) = image::write_flat(&elf, &path)?;
    let network = Network::User {
        host_port: GUEST_PORT,
        guest_port: GUEST_PORT,
    };
    let run = Machine::new(&path, network).shown();
    Ok(Image {
        path,
        elf,
        bytes,
        sections,
        run,
    })
}

/// Copies a file by way of a new one: the old copy may be running.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("the copy lies in a folder")?;
    let new = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::copy(from, new.path()).with_context(|| format!("cannot copy {}", from.display()))?;
    new.persist(to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}
