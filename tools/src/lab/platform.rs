//! What differs between the architectures of the lab, in one table: packages, emulator, addresses and
//! command lines.

use crate::image::Cpu;
use crate::qemu::MemorySize;
use crate::setup::programs::{self, Program};

/// An architecture for which there is a lab.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Architecture {
    /// 64-bit ARM
    Arm64,
    /// 32-bit ARM: a Cortex-A7, as on a Cubieboard2
    Armhf,
}

/// A lab's machine and what runs on it.
#[derive(Debug)]
pub(crate) struct Platform {
    /// Debian's name of the architecture.
    pub(crate) debian: &'static str,
    /// How the commands for its lab begin.
    pub(crate) command: &'static str,
    /// The emulator.
    pub(crate) qemu: Program,
    /// QEMU's machine, without the version of the interrupt controller.
    pub(crate) machine: &'static str,
    /// QEMU's CPU.
    pub(crate) cpu: &'static str,
    /// How many CPUs the machine has.
    pub(crate) cpus: u8,
    /// The memory of the whole machine where nobody says otherwise.
    pub(crate) memory: MemorySize,
    /// The versions of the interrupt controller that its Xen has drivers for; the first is the usual one.
    pub(crate) gics: &'static [u8],
    /// The CPUs of guests that its Xen runs.
    pub(crate) guests: &'static [Cpu],
    /// Debian's packages of Xen (hypervisor and tools) and of dom0's kernel.
    pub(crate) packages: [&'static str; 2],
    /// Where QEMU puts dom0's kernel and its initramfs: above Xen, and clear of each other.
    pub(crate) kernel_address: u64,
    /// See `kernel_address`.
    pub(crate) initramfs_address: u64,
    /// Xen's command line. On Arm, guests may have to do with dom0 only, unless it says `xsm=dummy`.
    pub(crate) xen_arguments: &'static str,
    /// The command line of dom0's kernel.
    pub(crate) linux_arguments: &'static str,
}

const ARM64: Platform = Platform {
    debian: "arm64",
    command: "cargo landfall lab xen",
    qemu: programs::QEMU,
    machine: "virt,virtualization=on",
    cpu: "cortex-a57",
    cpus: 2,
    memory: MemorySize(2048),
    gics: &[3, 2],
    guests: &[Cpu::Aarch64, Cpu::Armv7],
    packages: ["xen-system-arm64", "linux-image-cloud-arm64"],
    kernel_address: 0x4900_0000,
    initramfs_address: 0x4d00_0000,
    xen_arguments: "console=dtuart dtuart=/pl011@9000000 dom0_mem=768M dom0_max_vcpus=2 bootscrub=0 \
                    xsm=dummy",
    linux_arguments: "console=hvc0 rdinit=/init loglevel=4",
};

/// Without `highmem=off`, dom0's kernel comes no further than its search for PCI devices.
const ARMHF: Platform = Platform {
    debian: "armhf",
    command: "cargo landfall lab xen --arch armhf",
    qemu: programs::QEMU_32,
    machine: "virt,virtualization=on,highmem=off",
    cpu: "cortex-a7",
    cpus: 2,
    memory: MemorySize(2048),
    gics: &[2],
    guests: &[Cpu::Armv7],
    packages: ["xen-system-armhf", "linux-image-armmp-lpae"],
    kernel_address: 0x5000_0000,
    initramfs_address: 0x5200_0000,
    xen_arguments: "console=dtuart dtuart=/pl011@9000000 dom0_mem=512M dom0_max_vcpus=2 bootscrub=0 \
                    xsm=dummy",
    linux_arguments: "console=hvc0 rdinit=/init loglevel=4",
};

impl Architecture {
    /// The host for guests of a CPU where nobody says otherwise.
    pub(crate) fn of(cpu: Cpu) -> Self {
        match cpu {
            Cpu::Aarch64 => Architecture::Arm64,
            Cpu::Armv7 => Architecture::Armhf,
        }
    }

    /// Words for this program: a command to the lab of this architecture.
    pub(crate) fn lab<'a>(self, words: &[&'a str]) -> Vec<&'a str> {
        ["lab", "xen", "--arch", self.platform().debian]
            .into_iter()
            .chain(words.iter().copied())
            .collect()
    }

    /// Its row of the table.
    pub(crate) fn platform(self) -> &'static Platform {
        match self {
            Architecture::Arm64 => &ARM64,
            Architecture::Armhf => &ARMHF,
        }
    }
}
