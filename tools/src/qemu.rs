//! QEMU's command line for images of boards `virt` and `virt-armv7`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};

use crate::image::Cpu;
use crate::qmp::Qmp;
use crate::setup::programs::{self, Program};

/// The port on which apps listen when they are not told.
pub(crate) const GUEST_PORT: u16 = 8080;

/// A machine's memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemorySize(pub(crate) u32);

/// A memory size that QEMU would not take or that is surely a mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no memory size: write a whole number of MiB or GiB up to 255 GiB, such as 6M or 2G"
)]
pub(crate) struct BadMemorySize(String);

impl MemorySize {
    const LARGEST_MIB: u32 = 255 << 10;
}

impl FromStr for MemorySize {
    type Err = BadMemorySize;

    fn from_str(text: &str) -> Result<Self, BadMemorySize> {
        let bad = || BadMemorySize(text.to_owned());
        let upper = text.to_ascii_uppercase();
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| bad());
        let mebibytes = if let Some(digits) = upper.strip_suffix('M') {
            number(digits)?
        } else if let Some(digits) = upper.strip_suffix('G') {
            number(digits)?.checked_mul(1024).ok_or_else(bad)?
        } else {
            return Err(bad());
        };
        if (1..=Self::LARGEST_MIB).contains(&mebibytes) {
            Ok(Self(mebibytes))
        } else {
            Err(bad())
        }
    }
}

impl std::fmt::Display for MemorySize {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_multiple_of(1024) {
            write!(formatter, "{}G", self.0 / 1024)
        } else {
            write!(formatter, "{}M", self.0)
        }
    }
}

/// How the guest is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// QEMU's own network; connections to `host_port` of 127.0.0.1 reach `guest_port` of the guest.
    User {
        /// The port on this machine.
        host_port: u16,
        /// The port in the guest.
        guest_port: u16,
    },
    /// An existing tap device.
    Tap {
        /// Its name.
        name: String,
    },
    /// A wire of this tool's: each frame is a datagram between two UDP ports of 127.0.0.1.
    Wire {
        /// QEMU's.
        own: u16,
        /// The other end's.
        other: u16,
    },
}

impl Network {
    /// The value of `-netdev` and `-nic`.
    fn option(&self, is_traced: bool) -> String {
        match self {
            Self::User {
                host_port,
                guest_port,
            } => {
                format!("user,id=net0,hostfwd=tcp:127.0.0.1:{host_port}-:{guest_port}")
            }
            Self::Tap { name } => {
                // Before QEMU 8.0 filter-dump took virtio's header, which a tap can have, for part of the frame.
                let plain = if is_traced { ",vnet_hdr=off" } else { "" };
                format!("tap,id=net0,ifname={name},script=no,downscript=no{plain}")
            }
            Self::Wire { own, other } => {
                format!("socket,id=net0,udp=127.0.0.1:{other},localaddr=127.0.0.1:{own}")
            }
        }
    }
}

/// The value of `-object` that keeps the frames of the network in a file.
fn dump(file: &Path) -> String {
    format!(
        "filter-dump,id=trace0,netdev=net0,file={}",
        option_value(file)
    )
}

/// A board of Allwinner's that QEMU plays.
#[derive(Clone, Debug)]
pub(crate) struct CardMachine {
    /// What it starts from.
    pub(crate) start: Start,
    /// The connection.
    pub(crate) network: Network,
    /// The file for the frames that it sends and gets.
    pub(crate) trace: Option<PathBuf>,
}

/// What a board of Allwinner's starts from.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// An SD card, in the machine `orangepi-pc`, an H3.
    Card(PathBuf),
    /// An image that QEMU loads itself, in the machine `cubieboard`, an A10.
    Image {
        /// The flat image.
        image: PathBuf,
        /// The device tree.
        device_tree: PathBuf,
        /// The boot arguments.
        arguments: Vec<String>,
    },
}

impl Start {
    fn words(&self) -> Vec<String> {
        match self {
            Self::Card(card) => {
                let drive = format!("file={},format=raw,if=sd", option_value(card));
                ["-M", "orangepi-pc", "-drive", &drive]
                    .map(str::to_owned)
                    .to_vec()
            }
            Self::Image {
                image,
                device_tree,
                arguments,
            } => {
                let [image, device_tree] = [image, device_tree].map(|it| it.display().to_string());
                let words = ["-M", "cubieboard", "-kernel", &image, "-dtb", &device_tree];
                let append = ["-append".to_owned(), arguments.join(" ")];
                words.map(str::to_owned).into_iter().chain(append).collect()
            }
        }
    }
}

impl CardMachine {
    /// QEMU's words, without the program.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = self.start.words();
        let nic = self.network.option(self.trace.is_some());
        words.extend(["-nic".to_owned(), nic]);
        if let Some(file) = &self.trace {
            words.extend(["-object".to_owned(), dump(file)]);
        }
        words.extend(["-nographic", "-no-reboot"].map(str::to_owned));
        words
    }
}

/// QEMU's machine `virt` as a board with a Cortex-A7, on which U-Boot starts Xen from an SD card. The card is a disk there.
#[derive(Clone, Debug)]
pub(crate) struct XenCardMachine {
    /// U-Boot.
    pub(crate) u_boot: PathBuf,
    /// The card.
    pub(crate) card: PathBuf,
    /// A tap, if it is not on QEMU's own network.
    pub(crate) tap: Option<String>,
    /// The place of the socket by which QEMU is told more.
    pub(crate) qmp: PathBuf,
}

impl XenCardMachine {
    /// QEMU's words, without the program. Without `highmem=off`, dom0's kernel comes no further than its search for PCI
    /// devices.
    pub(crate) fn words(&self) -> Vec<String> {
        let drive = format!(
            "file={},format=raw,if=none,id=card",
            option_value(&self.card)
        );
        let network = match &self.tap {
            Some(name) => Network::Tap { name: name.clone() }.option(false),
            None => "user,id=net0".to_owned(),
        };
        let u_boot = self.u_boot.display().to_string();
        let [qmp, qmp_address] = Qmp::words(&self.qmp);
        let words = [
            "-M",
            "virt,virtualization=on,highmem=off,gic-version=2",
            "-cpu",
            "cortex-a7",
            "-smp",
            "2",
            "-m",
            "1G",
            "-bios",
            &u_boot,
            "-drive",
            &drive,
            "-device",
            "virtio-blk-device,drive=card",
            "-netdev",
            &network,
            "-device",
            "virtio-net-device,netdev=net0",
            "-nographic",
            "-no-reboot",
            &qmp,
            &qmp_address,
        ];
        words.map(str::to_owned).to_vec()
    }
}

impl Cpu {
    /// The QEMU that emulates it.
    pub(crate) fn qemu(self) -> Program {
        match self {
            Cpu::Aarch64 => programs::QEMU,
            Cpu::Armv7 => programs::QEMU_32,
        }
    }
}

/// Where RAM begins (hw/arm/virt.c, `VIRT_MEM`).
const RAM: u64 = 0x4000_0000;

/// Returns where QEMU loads a flat image (hw/arm/boot.c).
pub(crate) fn load_address(cpu: Cpu, image: &[u8]) -> Result<u64> {
    // The first page is for QEMU's own boot code.
    const BOOT_CODE: u64 = 4096;
    Ok(match cpu {
        // Of a zImage, which it does not look at.
        Cpu::Armv7 => RAM + 0x1_0000,
        Cpu::Aarch64 => match text_offset(image)? {
            offset @ BOOT_CODE.. => RAM + offset,
            offset => RAM + (2 << 20) + offset,
        },
    })
}

/// Returns the offset from a 2 MiB boundary that an arm64 image asks for (Linux
/// Documentation/arch/arm64/booting.rst, `text_offset`).
fn text_offset(image: &[u8]) -> Result<u64> {
    let field = image.get(8..16).and_then(|bytes| bytes.try_into().ok());
    field
        .map(u64::from_le_bytes)
        .context("the image ends in its header")
}

/// QEMU's machine `virt`.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    qemu: Program,
    /// The flat image.
    pub(crate) image: PathBuf,
    /// The memory.
    pub(crate) memory: MemorySize,
    /// The version of the interrupt controller, 2 or 3.
    pub(crate) gic: u8,
    /// The CPU's name.
    pub(crate) cpu: String,
    /// The CPU has EL2, and the guest is entered there.
    pub(crate) virtualization: bool,
    /// The connection.
    pub(crate) network: Network,
    /// The guest waits for a debugger on this port.
    pub(crate) gdb: Option<u16>,
    /// The boot arguments.
    pub(crate) arguments: Vec<String>,
    /// The file for the frames that it sends and gets.
    pub(crate) trace: Option<PathBuf>,
    /// More words for QEMU.
    pub(crate) extra: Vec<String>,
}

impl Machine {
    /// The machine that a command starts when it is told nothing else.
    pub(crate) fn new(cpu: Cpu, image: &Path, network: Network) -> Self {
        let (gic, name) = match cpu {
            Cpu::Aarch64 => (3, "cortex-a57"),
            Cpu::Armv7 => (2, "cortex-a7"),
        };
        Self {
            qemu: cpu.qemu(),
            image: image.to_owned(),
            memory: MemorySize(64),
            gic,
            cpu: name.to_owned(),
            virtualization: false,
            network,
            gdb: None,
            trace: None,
            arguments: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// QEMU's words, without the program.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let machine = if self.virtualization {
            ",virtualization=on"
        } else {
            ""
        };
        let mut words: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: OsString| words.extend([option.into(), value]);
        add(
            "-M",
            format!("virt,gic-version={}{machine}", self.gic).into(),
        );
        add("-cpu", self.cpu.clone().into());
        add("-m", self.memory.to_string().into());
        // By this the guest's exit code becomes QEMU's.
        add("-semihosting-config", "enable=on,target=native".into());
        add("-kernel", self.image.clone().into());
        if !self.arguments.is_empty() {
            add("-append", self.arguments.join(" ").into());
        }
        add("-netdev", self.network.option(self.trace.is_some()).into());
        add("-device", "virtio-net-device,netdev=net0".into());
        if let Some(file) = &self.trace {
            add("-object", dump(file).into());
        }
        add("-device", "virtio-rng-device".into());
        add("-global", "virtio-mmio.force-legacy=false".into());
        if let Some(port) = self.gdb {
            add("-gdb", format!("tcp:127.0.0.1:{port}").into());
            words.push("-S".into());
        }
        words.extend(["-nographic", "-no-reboot"].map(OsString::from));
        words.extend(self.extra.iter().map(OsString::from));
        words
    }

    /// The command line as one types it.
    pub(crate) fn shown(&self) -> String {
        let words = self.words();
        let words = words.iter().map(|word| shell_word(&word.to_string_lossy()));
        std::iter::once(self.qemu.name.to_owned())
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A path as the value of an option: in there a comma is written twice.
fn option_value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// Quotes a word for the shell where that is needed.
pub(crate) fn shell_word(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_=+./,:@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_are_whole_mebibytes() {
        assert_eq!("6M".parse(), Ok(MemorySize(6)));
        assert_eq!("2g".parse(), Ok(MemorySize(2048)));
        assert_eq!(MemorySize(2048).to_string(), "2G");
        assert_eq!(MemorySize(64).to_string(), "64M");
        for bad in [
            "",
            "M",
            "0M",
            "64",
            "-1M",
            "1.5G",
            "256G",
            "4294967295G",
            "64K",
            "64MB",
            "６M",
        ] {
            assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_names_everything() {
        let mut machine = Machine::new(
            Cpu::Aarch64,
            Path::new("hello-virt.img"),
            Network::User {
                host_port: 8081,
                guest_port: 8080,
            },
        );
        machine.virtualization = true;
        machine.arguments = vec!["log=debug".to_owned(), "port=8080".to_owned()];
        assert_eq!(
            machine.shown(),
            "qemu-system-aarch64 -M virt,gic-version=3,virtualization=on -cpu cortex-a57 -m 64M \
             -semihosting-config enable=on,target=native -kernel hello-virt.img -append 'log=debug port=8080' \
             -netdev user,id=net0,hostfwd=tcp:127.0.0.1:8081-:8080 -device virtio-net-device,netdev=net0 \
             -device virtio-rng-device -global virtio-mmio.force-legacy=false -nographic -no-reboot"
        );
    }

    #[test]
    fn an_image_is_loaded_where_its_header_asks() {
        let image = |offset: u64| [&[0; 8], &offset.to_le_bytes()[..]].concat();
        let address = |offset| load_address(Cpu::Aarch64, &image(offset)).expect("a header");
        assert_eq!(address(0x1000), 0x4000_1000);
        assert_eq!(address(0), 0x4020_0000);
        assert_eq!(load_address(Cpu::Armv7, &[]).ok(), Some(0x4001_0000));
        assert!(load_address(Cpu::Aarch64, &[0; 15]).is_err());
    }

    #[test]
    fn a_tap_runs_no_scripts() {
        let machine = Machine::new(
            Cpu::Armv7,
            Path::new("a.img"),
            Network::Tap {
                name: "tap7".to_owned(),
            },
        );
        assert!(
            machine
                .shown()
                .contains("-netdev tap,id=net0,ifname=tap7,script=no,downscript=no")
        );
    }

    #[test]
    fn a_trace_is_of_frames_alone() {
        let network = Network::Tap {
            name: "tap7".to_owned(),
        };
        let mut machine = Machine::new(Cpu::Armv7, Path::new("a.img"), network);
        machine.trace = Some("a,b.pcap".into());
        let shown = machine.shown();
        assert!(shown.contains(",downscript=no,vnet_hdr=off "), "{shown}");
        assert!(
            shown.contains("-object filter-dump,id=trace0,netdev=net0,file=a,,b.pcap "),
            "{shown}"
        );
    }

    #[test]
    fn boards_of_allwinners_start_from_a_card_or_an_image() {
        let words = |start| {
            let network = Network::Tap {
                name: "tap7".to_owned(),
            };
            let machine = CardMachine {
                start,
                network,
                trace: None,
            };
            machine.words().join(" ")
        };
        let rest = "-nic tap,id=net0,ifname=tap7,script=no,downscript=no -nographic -no-reboot";
        assert_eq!(
            words(Start::Card("a,b.img".into())),
            format!("-M orangepi-pc -drive file=a,,b.img,format=raw,if=sd {rest}")
        );
        let start = Start::Image {
            image: "a.zimage".into(),
            device_tree: "b.dtb".into(),
            arguments: ["port=80", "log=debug"].map(str::to_owned).to_vec(),
        };
        assert_eq!(
            words(start),
            format!("-M cubieboard -kernel a.zimage -dtb b.dtb -append port=80 log=debug {rest}")
        );
    }

    #[test]
    fn odd_words_are_quoted() {
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("tcp:127.0.0.1:1-:2"), "tcp:127.0.0.1:1-:2");
    }
}
