//! What is measured on QEMU's machine: an image of ours, or a minimal Linux guest to compare with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::image::Cpu;
use crate::lab::linux_guest::{self, Kind};
use crate::lab::parts::Parts;
use crate::network::{GUEST, GUEST_ARGUMENTS, Namespace, TAP};
use crate::qemu::{Machine, MemorySize, Network};
use crate::server::Server;

/// A system that serves a page on TCP port 8080.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) cpu: Cpu,
    image: PathBuf,
    initramfs: Option<PathBuf>,
    arguments: Vec<String>,
    qemu_words: Vec<String>,
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
            qemu_words: Vec::new(),
            enough: 64,
            deadline: Duration::from_secs(15),
        }
    }

    /// The same with more boot arguments.
    pub(super) fn with_arguments<'a>(mut self, arguments: impl Iterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// The same with more words for QEMU.
    pub(super) fn with_qemu_words(mut self, words: impl Iterator<Item = String>) -> Self {
        self.qemu_words.extend(words);
        self
    }

    /// Debian's kernel for the same CPU and a few files.
    pub(super) fn linux(cpu: Cpu, parts: &Parts, kind: Kind) -> Self {
        Self {
            cpu,
            image: parts.linux(),
            initramfs: Some(parts.guest(kind)),
            arguments: [linux_guest::IN_QEMU]
                .into_iter()
                .chain(kind.word())
                .map(str::to_owned)
                .collect(),
            qemu_words: Vec::new(),
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
        machine.extra.extend(self.qemu_words.iter().cloned());
        machine
    }
}

impl Server for Subject {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        let network = Network::Tap {
            name: TAP.to_owned(),
        };
        let mut command = namespace.command(self.cpu.qemu().get()?)?;
        command.args(self.machine(network, &GUEST_ARGUMENTS).words());
        Ok(command)
    }

    fn host(&self) -> &str {
        GUEST
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }
}
