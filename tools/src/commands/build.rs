//! `cargo landfall build`: from an app's source to the image of a board.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::xl::DomainOptions;
use crate::arguments;
use crate::cargo::{Compilers, shown};
use crate::image::{self, Cpu, Flat, Section};
use crate::qemu::{GUEST_PORT, Machine, Network, shell_word};
use crate::registry::{App, Board, Loader, Workspace};
use crate::xl::{BootArgument, Config};

/// Builds an app's image for a board and prints its path
///
/// The image is what you ship: for board `virt` a flat image that QEMU and other loaders of arm64 kernels
/// take, for ARMv7 boards a zImage, for `unix` an executable. Beside an image lies the ELF file it was made
/// from, with the debug information, and for a guest of Xen APP.xl, which `xl create` takes. The last line on
/// standard output is the image's path.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall build hello --board virt                build target/landfall/images/virt/hello.img\n  \
    cargo landfall build 2048 --board virt --output out    put it into the folder out\n  \
    cargo landfall build 2048 --board virt --json          also its sections and the line that starts it\n  \
    cargo landfall build 2048 --board xenvm --output out   out/2048.xl too; on a Xen host: xl create -c 2048.xl\n  \
    cargo landfall build 2048 --board cubieboard2          2048.zimage and 2048.xl for a 32-bit Xen host\n  \
    cargo landfall build 2048 --board xenvm --bridge br0 --arg port=80")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "unix")]
    board: String,
    /// The folder for the image [default: landfall/images/BOARD in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print one JSON object: path, elf, config (where there is one), bytes, sections, run
    #[arg(long)]
    json: bool,
    /// Let the image log by defmt: without the texts of lines, which `run` and `decode` read from its ELF file
    #[arg(long)]
    defmt: bool,
    #[command(flatten)]
    domain: DomainOptions,
}

/// What a build made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Image {
    /// What is shipped: the flat image or the executable.
    pub(crate) path: PathBuf,
    /// The file with the debug information.
    pub(crate) elf: PathBuf,
    /// The file that its loader reads, for boards with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<PathBuf>,
    /// What a flat image is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Cpu>,
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
    // Before the build: a mistake in the options should not cost its time.
    let config = config(&arguments.domain, &app, &board)?;
    let folder = arguments
        .output
        .clone()
        .unwrap_or_else(|| images_folder(&workspace, &board));
    ensure!(
        board.target.is_some() || !arguments.defmt,
        "--defmt is for machines, and board unix is a process: add --board virt"
    );
    let mut compilers = Compilers::new(&workspace).with_defmt(arguments.defmt);
    let image = build_with(&mut compilers, &app, &board, &folder, config.as_ref())?;
    if arguments.json {
        println!("{}", serde_json::to_string(&image)?);
    } else {
        println!("{}", shown(&image.path));
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration for the board's loader.
fn config(options: &DomainOptions, app: &App, board: &Board) -> Result<Option<Config>> {
    match (board.loader, options.given()) {
        (Some(Loader::Xl), _) => options.config(app, board).map(Some),
        (_, None) => Ok(None),
        (_, Some(option)) => bail!(
            "{option} goes into the file that xl reads, and board {} has none: add --board xenvm",
            board.name
        ),
    }
}

/// Where images go when the user names no folder.
pub(crate) fn images_folder(workspace: &Workspace, board: &Board) -> PathBuf {
    let images = workspace.target_directory().join("landfall/images");
    images.join(&board.name)
}

/// Builds `app` for `board` into `folder`, with what its loader needs when the user wants nothing special.
pub(crate) fn build(
    compilers: &mut Compilers,
    app: &App,
    board: &Board,
    folder: &Path,
) -> Result<Image> {
    let config = config(&DomainOptions::default(), app, board)?;
    build_with(compilers, app, board, folder, config.as_ref())
}

fn build_with(
    compilers: &mut Compilers,
    app: &App,
    board: &Board,
    folder: &Path,
    config: Option<&Config>,
) -> Result<Image> {
    let executable = compilers.build(app, board)?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let folder = std::path::absolute(folder)?;
    if board.target.is_none() {
        return process(&executable, folder.join(board.image_file(app)));
    }
    let mut image = machine(
        &executable,
        folder.join(&app.name).with_added_extension("elf"),
    )?;
    if let Some(config) = config {
        let words: Vec<&str> = config.arguments.iter().map(BootArgument::as_str).collect();
        arguments::check(&image.path, &words)?;
        let file = format!("{}.xl", app.name);
        write_config(&mut image, config, &folder, &file)?;
    }
    Ok(image)
}

/// Puts an executable of this machine at `path`.
fn process(executable: &Path, path: PathBuf) -> Result<Image> {
    copy(executable, &path)?;
    let run = format!("{} port={GUEST_PORT}", shell_word(&path.to_string_lossy()));
    Ok(Image {
        elf: path.clone(),
        config: None,
        cpu: None,
        bytes: path.metadata()?.len(),
        path,
        sections: Vec::new(),
        run,
    })
}

/// Puts a bare-metal executable at `elf`, and its flat image beside it.
fn machine(executable: &Path, elf: PathBuf) -> Result<Image> {
    copy(executable, &elf)?;
    let Flat {
        path,
        bytes,
        cpu,
        sections,
    } = image::write_flat(&elf)?;
    let network = Network::User {
        host_port: GUEST_PORT,
        guest_port: GUEST_PORT,
    };
    let run = Machine::new(cpu, &path, network).shown();
    Ok(Image {
        path,
        elf,
        config: None,
        cpu: Some(cpu),
        bytes,
        sections,
        run,
    })
}

/// Puts xl's `file` beside an image, which is started by it from then on.
fn write_config(image: &mut Image, config: &Config, folder: &Path, file: &str) -> Result<()> {
    let path = folder.join(file);
    std::fs::write(&path, config.text(file))
        .with_context(|| format!("cannot write {}", path.display()))?;
    image.run = format!(
        "cd {} && xl create -c {}",
        shell_word(&folder.to_string_lossy()),
        shell_word(file)
    );
    image.config = Some(path);
    Ok(())
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn config_of(board: &str, loader: Option<Loader>, words: &[&str]) -> Result<Option<Config>> {
        let words = ["build", "hello"].iter().chain(words);
        let options = Line::try_parse_from(words).expect("good words").arguments;
        let app = App {
            name: options.app,
            summary: String::new(),
            package: String::new(),
            hidden: false,
            boards: None,
            has_build_script: false,
        };
        let board = Board {
            name: board.to_owned(),
            summary: String::new(),
            target: Some("aarch64-unknown-none".to_owned()),
            target_cpu: None,
            feature: None,
            loader,
        };
        config(&options.domain, &app, &board)
    }

    #[test]
    fn only_boards_with_a_loader_have_its_file() {
        let made = |loader| {
            let config = config_of("a", loader, &[]).expect("no options are no mistake");
            config.is_some()
        };
        assert!(made(Some(Loader::Xl)) && !made(None));
    }

    #[test]
    fn options_that_would_go_nowhere_are_refused() {
        let error = config_of("virt", None, &["--bridge", "br0"]).expect_err("no file for it");
        for word in ["--bridge", "virt", "--board xenvm"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn the_file_lies_beside_the_image_and_is_the_way_to_start_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = config_of("xenvm", Some(Loader::Xl), &["--arg", "port=80"]);
        let config = config.expect("good words").expect("a board with a loader");
        let mut image = Image {
            path: folder.path().join("hello.img"),
            elf: folder.path().join("hello.elf"),
            config: None,
            cpu: None,
            bytes: 0,
            sections: Vec::new(),
            run: String::new(),
        };
        write_config(&mut image, &config, folder.path(), "hello.xl").expect("it can be written");
        assert_eq!(image.config, Some(folder.path().join("hello.xl")));
        let text = std::fs::read_to_string(folder.path().join("hello.xl")).expect("it is there");
        assert_eq!(text, config.text("hello.xl"));
        let run = format!("cd {} && xl create -c hello.xl", folder.path().display());
        assert_eq!(image.run, run);
    }
}
