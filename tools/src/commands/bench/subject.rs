//! What is measured on QEMU's machine: an image of ours, or a minimal Linux guest to compare with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::image::Cpu;
use crate::lab::linux_guest;
use crate::lab::parts::Parts;
use crate::qemu::{Machine, MemorySize, Network};

/// A system that serves a page on TCP port 8080.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) cpu: Cpu,
    image: PathBuf,
    initramfs: Option<PathBuf>,
    arguments: Vec<String>,
    /// MiB that are certainly enough.
    pub(super) enough: u32,
    /// How long it may take to serve.
    pub(super) deadline: Duration,
}

impl Subject {
    /// An image of ours.
    pub(super) fn landfall(cpu: Cpu, image: &Path) -> Self {
        Self {
            cpu,
            image: image.to_owned(),
            initramfs: None,
            arguments: Vec::new(),
            enough: 64,
            deadline: Duration::from_secs(15),
        }
    }

    /// The same with more boot arguments.
    pub(super) fn with_arguments<'a>(mut self, arguments: impl Iterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Debian's kernel for the same CPU and a few files, with iperf3's server or without.
    pub(super) fn linux(cpu: Cpu, parts: &Parts, with_iperf3: bool) -> Self {
        Self {
            cpu,
            image: parts.linux(),
            initramfs: Some(parts.guest(with_iperf3)),
            arguments: vec![linux_guest::IN_QEMU.to_owned()],
            enough: 256,
            deadline: Duration::from_secs(60),
        }
    }

    /// The machine that boots it, with boot arguments that give it an address.
    pub(super) fn machine(&self, network: Network, address: &[&str]) -> Machine {
        let mut machine = Machine::new(self.cpu, &self.image, network);
        machine.memory = MemorySize(self.enough);
        machine.arguments.clone_from(&self.arguments);
        machine
            .arguments
            .extend(address.iter().copied().map(str::to_owned));
        if let Some(initramfs) = &self.initramfs {
            machine.extra = vec!["-initrd".to_owned(), initramfs.display().to_string()];
        }
        machine
    }
}
