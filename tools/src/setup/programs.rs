//! Programs that a command starts: QEMU, a browser and its driver, a load generator, network tools.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::apt;
use crate::process::find_program;

/// A program, the Debian package that has it, and what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    /// The executable's name.
    pub(crate) name: &'static str,
    /// The Debian package.
    pub(crate) package: &'static str,
    /// What it is, in words.
    pub(crate) what: &'static str,
}

/// Emulates the machine that images of board `virt` run on.
pub(crate) const QEMU: Program = Program {
    name: "qemu-system-aarch64",
    package: "qemu-system-arm",
    what: "the emulator QEMU",
};
/// The same with a 32-bit CPU, for board `virt-armv7`.
pub(crate) const QEMU_32: Program = Program {
    name: "qemu-system-arm",
    package: "qemu-system-arm",
    what: "the emulator QEMU for 32-bit CPUs",
};
/// Plays the game in the tests.
pub(crate) const BROWSER: Program = Program {
    name: "chromium",
    package: "chromium",
    what: "the browser Chromium (for the tests)",
};
/// Lets the tests press keys in the browser.
pub(crate) const BROWSER_DRIVER: Program = Program {
    name: "chromedriver",
    package: "chromium-driver",
    what: "Chromium's driver (for the tests)",
};
/// Asks for many pages at once.
pub(crate) const WRK: Program = Program {
    name: "wrk",
    package: "wrk",
    what: "the load generator wrk (for the bench)",
};
/// Sends and receives as fast as it can.
pub(crate) const IPERF3: Program = Program {
    name: "iperf3",
    package: "iperf3",
    what: "the load generator iperf3 (for the bench)",
};
/// Makes taps and network namespaces.
pub(crate) const IP: Program = Program {
    name: "ip",
    package: "iproute2",
    what: "the network tool ip (for taps)",
};
/// Debugs processes of this machine and guests in QEMU.
pub(crate) const GDB: Program = Program {
    name: "gdb-multiarch",
    package: "gdb-multiarch",
    what: "the debugger gdb, for the CPUs of all boards",
};
/// Gives addresses to the guests of the tests.
pub(crate) const DNSMASQ: Program = Program {
    name: "dnsmasq",
    package: "dnsmasq-base",
    what: "the DHCP and DNS server dnsmasq (for the tests)",
};
/// Reaches Xen hosts.
pub(crate) const SSH: Program = Program {
    name: "ssh",
    package: "openssh-client",
    what: "ssh (for Xen hosts)",
};

/// Compiles libFuzzer.
pub(crate) const CXX: Program = Program {
    name: "c++",
    package: "g++",
    what: "a C++ compiler (for the fuzzers)",
};

/// Every program that some command needs.
pub(crate) const ALL: [Program; 11] = [
    QEMU,
    QEMU_32,
    BROWSER,
    BROWSER_DRIVER,
    WRK,
    IPERF3,
    IP,
    GDB,
    DNSMASQ,
    SSH,
    CXX,
];

impl Program {
    /// Returns where the program is, if it is installed.
    pub(crate) fn find(self) -> Option<PathBuf> {
        find_program(self.name)
    }

    /// Returns where the program is, installing it where it is missing.
    pub(crate) fn get(self) -> Result<PathBuf> {
        get_all(&[self])?;
        self.find()
            .with_context(|| format!("{} was installed but has no {}", self.package, self.name))
    }
}

/// Installs those of `programs` that are missing, in one go.
pub(crate) fn get_all(programs: &[Program]) -> Result<()> {
    let missing: Vec<Program> = programs
        .iter()
        .copied()
        .filter(|program| program.find().is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    let what: Vec<&str> = missing.iter().map(|program| program.what).collect();
    apt::install(&packages, &what.join(", "))
}
