//! `cargo landfall lab xen create`, `forward` and `linux`.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::machine::Source;
use crate::lab::Lab;
use crate::lab::guests::Configuration;
use crate::lab::linux_guest::{Kind, ON_XEN};
use crate::lab::parts::Parts;
use crate::lab::platform::Architecture;
use crate::qemu::GUEST_PORT;

/// Creates a guest from a configuration for xl and the files that it names
///
/// The configuration's kernel and ramdisk are files of this machine, relative to its folder; they are
/// copied to dom0. With --port, waits until the guest says on its console where it listens.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall build hello --board xenvm\n  \
    cargo landfall lab xen create target/landfall/images/xenvm/hello.xl --port 8080\n  \
    cargo landfall lab xen create other.xl --port 8081    another, at another port")]
pub(super) struct Create {
    /// The configuration
    config: PathBuf,
    /// The port of this machine at which the guest is reached; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The port at which the guest listens
    #[arg(long, value_name = "PORT", default_value_t = GUEST_PORT)]
    guest_port: u16,
    /// How long the guest may take to say where it listens
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

impl Create {
    pub(super) fn run(&self, lab: &Lab) -> Result<ExitCode> {
        let configuration = Configuration::read(&self.config)?;
        lab.create(&configuration)?;
        let name = &configuration.name;
        let Some(port) = self.port else {
            eprintln!(
                "{name} is created; its console: {} logs {name} --follow",
                lab.record().architecture.platform().command
            );
            return Ok(ExitCode::SUCCESS);
        };
        let address = lab.address(name, Duration::from_secs(self.timeout))?;
        let port = lab.forward(port, SocketAddrV4::new(*address.ip(), self.guest_port))?;
        println!("open http://127.0.0.1:{port}/");
        Ok(ExitCode::SUCCESS)
    }
}

/// Lets connections to a port of this machine reach a guest on bridge xenbr0
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen forward 8080 10.0.2.15:8080\n  \
    cargo landfall lab xen forward 0 10.0.2.15:80    at any free port; it is printed")]
pub(super) struct Forward {
    /// The port of this machine; 0 takes any free one
    port: u16,
    /// The guest's address and port
    guest: SocketAddrV4,
}

impl Forward {
    pub(super) fn run(&self, lab: &Lab) -> Result<ExitCode> {
        println!("127.0.0.1:{}", lab.forward(self.port, self.guest)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a minimal Linux guest into a folder, to compare with: kernel, initramfs and linux.xl
///
/// Debian's kernel with busybox, which serves one page on TCP port 8080. Boot arguments (extra) are
/// ip=ADDRESS/PREFIX and gateway=ADDRESS; without them it asks DHCP.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall lab xen linux out\n  \
    cargo landfall lab xen create out/linux.xl --port 8080")]
pub(super) struct Linux {
    /// The folder
    folder: PathBuf,
    /// With nginx for busybox's httpd, an iperf3 server and an echo of UDP datagrams
    #[arg(long)]
    servers: bool,
    #[command(flatten)]
    source: Source,
}

/// Its configuration for xl.
fn linux() -> String {
    format!(
        "name = \"linux\"\nkernel = \"linux\"\nramdisk = \"initramfs\"\nmemory = 128\nvcpus = 1\n\
         vif = [ 'bridge=xenbr0,mac=00:16:3e:00:4c:78' ]\nextra = \"{ON_XEN}\"\n"
    )
}

impl Linux {
    pub(super) fn run(&self, architecture: Architecture) -> Result<ExitCode> {
        let parts = Parts::get(architecture.platform(), self.source.mirror()?)?;
        let folder = &self.folder;
        let cannot = || format!("cannot write to {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot)?;
        std::fs::copy(parts.linux(), folder.join("linux")).with_context(cannot)?;
        let kind = match self.servers {
            true => Kind::Servers,
            false => Kind::Minimal,
        };
        std::fs::copy(parts.guest(kind), folder.join("initramfs")).with_context(cannot)?;
        std::fs::write(folder.join("linux.xl"), linux()).with_context(cannot)?;
        println!("{}", folder.join("linux.xl").display());
        Ok(ExitCode::SUCCESS)
    }
}
