//! `cargo landfall run-image ELF` (hidden): cargo's runner for bare-metal targets.
//!
//! `cargo run -p hello --target aarch64-unknown-none -- log=debug` comes here with the ELF file that it
//! built and the words after `--`, which become boot arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::build::Image;
use super::run::{Options, boot_argument};
use crate::image;
use crate::registry::Workspace;

/// Boots an ELF file.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What cargo built
    elf: PathBuf,
    /// Boot arguments, such as log=debug
    #[arg(value_parser = boot_argument)]
    words: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// Makes an image of the file, beside it, and boots that.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let elf = std::path::absolute(&arguments.elf)?;
    let flat = image::write_flat(&elf)?;
    let image = Image {
        path: flat.path,
        elf,
        config: None,
        cpu: Some(flat.cpu),
        bytes: flat.bytes,
        sections: flat.sections,
        run: String::new(),
    };
    let mut options = arguments.options;
    options.add_arguments(arguments.words);
    let root = Workspace::load()
        .map(|workspace| workspace.root().to_owned())
        .unwrap_or_default();
    options.run_machine(&image, options.free_port(false)?, &root)
}
