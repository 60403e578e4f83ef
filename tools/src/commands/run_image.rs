//! `cargo landfall run-image FILE` (hidden): cargo's runner for bare-metal targets.
//!
//! `cargo run -p hello --target aarch64-unknown-none -- log=debug` comes here with the ELF file that it
//! built and the words after `--`, which become boot arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use super::build::Image;
use super::run::{Options, boot_word};
use crate::image::{self, Cpu};
use crate::registry::Workspace;

/// Boots an ELF file or a flat image
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What cargo built, or a flat image
    file: PathBuf,
    /// Boot arguments, such as log=debug; after --, --help lists those that there are
    #[arg(value_parser = boot_word)]
    words: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// Makes an image of an ELF file, beside it, and boots that, or a flat image as it is.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    ensure!(
        !arguments.options.machine.defmt,
        "--defmt is for builds, and this file is built already"
    );
    arguments.options.refuse_model()?;
    let image = image(std::path::absolute(&arguments.file)?)?;
    let mut options = arguments.options;
    options.add_arguments(arguments.words);
    let root = Workspace::load()
        .map(|workspace| workspace.root().to_owned())
        .unwrap_or_default();
    options.run_machine(&image, options.free_port(false)?, &root)
}

fn image(file: PathBuf) -> Result<Image> {
    let data = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let cpu = Cpu::of_image(&data);
    let mut image = Image {
        path: file.clone(),
        elf: file,
        config: None,
        cpu,
        bytes: data.len() as u64,
        sections: Vec::new(),
        run: String::new(),
    };
    if cpu.is_none() {
        let flat = image::write_flat(&image.elf)?;
        image.path = flat.path;
        image.cpu = Some(flat.cpu);
        image.bytes = flat.bytes;
        image.sections = flat.sections;
    }
    Ok(image)
}
