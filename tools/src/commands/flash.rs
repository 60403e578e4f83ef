//! `cargo landfall flash`: an image onto an SD card.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::OFlags;

use crate::flash::copy;
use crate::flash::devices::{self, Device, System, Target};
use crate::process::Interrupted;

/// Writes an image to an SD card and reads it back
///
/// A device that is mounted, swapped to, part of a volume, read-only or too small is refused. One that cannot be taken
/// out is written only after its name was typed back. An image file can be written to, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall flash --list                                which devices there are\n  \
    cargo landfall image 2048 --board sunxi --machine nanopi-neo --output sd.img\n  \
    sudo cargo landfall flash --image sd.img --device /dev/sdX")]
pub(crate) struct Arguments {
    /// Show the devices of this machine that can be taken out; nothing is written
    #[arg(long, conflicts_with_all = ["image", "device"])]
    list: bool,
    /// The image
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    image: Option<PathBuf>,
    /// The device: all of it, not a partition
    #[arg(long, value_name = "PATH", required_unless_present = "list")]
    device: Option<PathBuf>,
}

/// Lists, or checks, writes and compares.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let system = System::here();
    let (Some(image), Some(device)) = (&arguments.image, &arguments.device) else {
        return list(&system);
    };
    let mut source = copy::open(image)?;
    let bytes = copy::check(&mut source)
        .with_context(|| format!("{} cannot be written", image.display()))?;
    let target = devices::target(&system, device, bytes)?;
    if let Target::Device(found) = &target {
        eprintln!("{}", described(found));
        if !found.is_removable {
            confirm(found)?;
        }
    }
    let mut card = open(device, &target)?;
    let name = device.display();
    let bar = progress("writing", bytes);
    copy::write(&mut source, &mut card, bytes, |done| bar.set_position(done))
        .inspect_err(|error| say_if_interrupted(error, &bar))
        .with_context(|| format!("{name} is not written"))?;
    bar.finish_and_clear();
    let bar = progress("reading back", bytes);
    copy::compare(&mut source, &mut card, bytes, |done| bar.set_position(done))
        .inspect_err(|error| say_if_interrupted(error, &bar))
        .with_context(|| format!("{name} is not as it should be"))?;
    bar.finish_and_clear();
    println!(
        "{name} has {}, {bytes} bytes, read back and compared",
        image.display()
    );
    if let Target::Device(_) = target {
        println!("next: take it out, put it into the board, and plug in Ethernet and power");
    }
    Ok(ExitCode::SUCCESS)
}

/// Of an interruption the command itself says nothing more.
fn say_if_interrupted(error: &anyhow::Error, bar: &ProgressBar) {
    bar.finish_and_clear();
    if error.is::<Interrupted>() {
        eprintln!("{error:#}");
    }
}

fn list(system: &System) -> Result<ExitCode> {
    let devices = devices::list(system)?;
    let mut removable = devices
        .iter()
        .filter(|device| device.is_removable)
        .peekable();
    if removable.peek().is_none() {
        eprintln!("this machine has no device that can be taken out: is the card in its reader?");
        return Ok(ExitCode::FAILURE);
    }
    for device in removable {
        println!("{}", described(device));
    }
    Ok(ExitCode::SUCCESS)
}

fn described(device: &Device) -> String {
    let uses = match device.uses.first() {
        Some(used) => format!(" ({used})"),
        None => String::new(),
    };
    let model = match device.model.as_str() {
        "" => "unknown model",
        model => model,
    };
    format!(
        "{}  {:.1} GB  {model}{uses}",
        device.path().display(),
        device.bytes as f64 / 1e9
    )
}

/// Asks for the name of a device that is surely not what the user means, unless it is typed.
fn confirm(device: &Device) -> Result<()> {
    let path = device.path().display().to_string();
    let advice = format!("{path} cannot be taken out of this machine: it is no card");
    ensure!(
        std::io::stdin().is_terminal(),
        "{advice}; --list shows those that can"
    );
    eprint!("{advice}. All that is on it will be lost. Type its whole name to go on: ");
    std::io::stderr().flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() != path {
        bail!("nothing was written");
    }
    Ok(())
}

/// Opens what is written to. The kernel keeps a device for us alone, and refuses one that is mounted meanwhile.
fn open(path: &Path, target: &Target) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if let Target::Device(_) = target {
        options.custom_flags(OFlags::EXCL.bits().cast_signed());
    }
    options
        .open(path)
        .with_context(|| format!("cannot open {}; as root?", path.display()))
}

fn progress(what: &'static str, bytes: u64) -> ProgressBar {
    let template = "{msg:12} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("it was tried by a test");
    let bar = ProgressBar::new(bytes)
        .with_style(style.progress_chars("=> "))
        .with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_bar_has_a_template_that_is_understood() {
        progress("writing", 1).finish_and_clear();
    }

    #[test]
    fn devices_are_described_in_a_line() {
        let device = Device {
            name: "sdb".to_owned(),
            model: "Generic Reader".to_owned(),
            bytes: 32_010_928_128,
            is_removable: true,
            is_read_only: false,
            uses: vec!["/dev/sdb1 is mounted on /media".to_owned()],
        };
        assert_eq!(
            described(&device),
            "/dev/sdb  32.0 GB  Generic Reader (/dev/sdb1 is mounted on /media)"
        );
    }
}
