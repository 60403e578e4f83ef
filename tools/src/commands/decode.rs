//! `cargo landfall decode`: what a guest has printed, with its log lines as text and names for code addresses.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::console::{Console, Symboliser};
use crate::frames::Frames;
use crate::registry::Workspace;

/// Shows what a guest has printed: defmt log lines as text, backtraces with functions, files and lines
///
/// For consoles that other programs have kept, such as xenconsoled or a serial line's terminal. The ELF file
/// lies beside the image.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall decode hello.elf console.log\n  \
    xl console hello | cargo landfall decode hello.elf")]
pub(crate) struct Arguments {
    /// The ELF file that the guest's image was made from
    elf: PathBuf,
    /// What the guest has printed; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// Reads, decodes and prints, as it comes.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let elf = &arguments.elf;
    let data = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let frames = Frames::of(&data).with_context(|| format!("cannot read {}", elf.display()))?;
    let root = Workspace::load().map(|workspace| workspace.root().to_owned());
    let symboliser = Symboliser::open(elf, &root.unwrap_or_default());
    let mut console = Console::new(symboliser, frames);
    let mut input = open(&arguments.file)?;
    let mut output = std::io::stdout().lock();
    let mut buffer = [0; 4096];
    loop {
        let length = input.read(&mut buffer).context("cannot read")?;
        let text = match length {
            0 => console.finish(),
            length => console.feed(&buffer[..length]),
        };
        output.write_all(text.as_bytes())?;
        output.flush()?;
        if length == 0 {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    Ok(Box::new(file))
}
