//! `cargo landfall lab xen up`, `down` and `status`.

use std::process::ExitCode;

use anyhow::Result;

use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::{self, Lab, boot};
use crate::qemu::MemorySize;
use crate::setup::foreign::Mirror;

/// Boots the lab, or finds it running
///
/// The first time, Debian's packages for the architecture are fetched (some 30 MB) and dom0's initramfs is
/// made from them; later only the boot is left. The options are for a lab that is not up yet.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen up\n  \
    cargo landfall lab xen up --gic 2 --memory 3G\n  \
    cargo landfall lab xen --arch armhf up               a 32-bit host, as on a Cubieboard2\n  \
    cargo landfall lab xen up --mirror http://mirror.example/debian --suite bookworm\n  \
    LANDFALL_LAB=/tmp/other cargo landfall lab xen up    a second lab")]
pub(super) struct Up {
    /// The version of the interrupt controller [default: 3; armhf: 2]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u8).range(2..=3))]
    gic: Option<u8>,
    /// The memory of the whole machine, of which dom0 takes 768M, or 512M on armhf [default: 2G]
    #[arg(long, value_name = "SIZE")]
    memory: Option<MemorySize>,
    #[command(flatten)]
    source: Source,
}

/// Where packages come from.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Source {
    /// A mirror of Debian to fetch packages from [default: this system's apt sources]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// The release of Debian at the mirror [default: this system's]
    #[arg(long, value_name = "NAME", requires = "mirror")]
    suite: Option<String>,
}

impl Source {
    /// The mirror, if one is named.
    pub(crate) fn mirror(&self) -> Result<Option<Mirror>> {
        let mirror = self
            .mirror
            .as_deref()
            .map(|url| Mirror::new(url, self.suite.as_deref()));
        mirror.transpose()
    }
}

impl Up {
    pub(super) fn run(&self, architecture: Architecture, place: &Place) -> Result<ExitCode> {
        let usual = boot::Options::usual(architecture);
        let options = boot::Options {
            gic: self.gic.unwrap_or(usual.gic),
            memory: self.memory.unwrap_or(usual.memory),
            mirror: self.source.mirror()?,
            ..usual
        };
        let (lab, started) = boot::up(place, &options)?;
        if started {
            let command = architecture.platform().command;
            eprintln!("the lab is up; next: {command} --help");
        } else {
            eprintln!("{}", already(&lab, &options));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What to say when a lab is found, which may be another than was asked for.
fn already(lab: &Lab, options: &boot::Options) -> String {
    let record = lab.record();
    let same = record.gic == options.gic && record.memory == options.memory.to_string();
    let advice = if same {
        String::new()
    } else {
        format!(
            ", with GICv{} and {}; for another, `{} down` first",
            record.gic,
            record.memory,
            record.architecture.platform().command
        )
    };
    format!("the lab is up already{advice}")
}

/// Ends the lab.
pub(super) fn down(place: &Place) -> Result<ExitCode> {
    let _lock = place.lock()?;
    match place.read() {
        Some(record) => {
            lab::end(place, &record)?;
            eprintln!("the lab is down");
        }
        None => eprintln!("the lab is not up"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the lab. The exit code tells whether it is up.
pub(super) fn status(place: &Place) -> Result<ExitCode> {
    let Some(lab) = Lab::find(place) else {
        println!("the lab is not up");
        return Ok(ExitCode::FAILURE);
    };
    let record = lab.record();
    println!(
        "the lab is up: GICv{}, {} of memory, QEMU is process {}",
        record.gic, record.memory, record.pid
    );
    println!("console: {}", place.console().display());
    for (port, guest) in lab.forwards()? {
        let what = if port == record.agent_port {
            " (dom0's agent)"
        } else {
            ""
        };
        println!("forwarded: 127.0.0.1:{port} to {guest}{what}");
    }
    print!("{}", lab.agent().output("xl list")?);
    Ok(ExitCode::SUCCESS)
}
