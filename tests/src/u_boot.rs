//! U-Boot's prompt.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::lab::Folder;
use crate::{DEADLINE, Guest, Lab, wait_until};

/// U-Boot at its prompt, on the serial line of an emulated 32-bit machine, which ends with this value.
#[derive(Debug)]
pub struct Prompt {
    line: UnixStream,
    _machine: Guest,
}

impl Prompt {
    /// Starts QEMU with these words, and keeps U-Boot from starting anything.
    ///
    /// # Panics
    /// When there is no prompt within the deadline.
    pub fn start(lab: &Lab, folder: &Folder, words: &[&str]) -> Self {
        let socket = folder.path().join("serial");
        let serial = format!("unix:{},server=on,wait=on", socket.display());
        let quiet = ["-display", "none", "-monitor", "none", "-serial", &serial];
        let machine = lab.qemu("qemu-system-arm", &[words, &quiet].concat());
        let line = wait_until("QEMU opens its serial line", DEADLINE, || {
            UnixStream::connect(&socket).ok()
        });
        line.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut prompt = Self {
            line,
            _machine: machine,
        };
        prompt.read_to("Hit any key");
        prompt.line.write_all(b" ").expect("QEMU reads");
        prompt.read_to("=> ");
        prompt
    }

    /// Types a line; returns what is said until the next prompt.
    ///
    /// # Panics
    /// When none comes within the deadline.
    pub fn run(&mut self, line: &str) -> String {
        self.run_to(line, "\n=> ")
    }

    /// Types a line; returns what is said up to the end of `end`.
    ///
    /// # Panics
    /// When nothing is said any more.
    pub fn run_to(&mut self, line: &str, end: &str) -> String {
        self.line.write_all(line.as_bytes()).expect("QEMU reads");
        self.line.write_all(b"\n").expect("QEMU reads");
        self.read_to(end)
    }

    /// Returns so many bytes from `address` on, which may be a variable.
    pub fn memory(&mut self, address: &str, length: usize) -> Vec<u8> {
        bytes_in(&self.run(&format!("md.b {address} {length:#x}")))
    }

    fn read_to(&mut self, end: &str) -> String {
        let mut said = Vec::new();
        while !said.ends_with(end.as_bytes()) {
            let mut byte = [0];
            if self.line.read_exact(&mut byte).is_err() {
                panic!("no {end:?} after {}", String::from_utf8_lossy(&said));
            }
            said.push(byte[0]);
        }
        String::from_utf8_lossy(&said).replace('\r', "")
    }
}

/// The bytes in lines of U-Boot's `md.b`.
fn bytes_in(said: &str) -> Vec<u8> {
    let line = |line: &str| -> Option<Vec<u8>> {
        let (address, rest) = line.split_once(": ")?;
        u32::from_str_radix(address.trim(), 16).ok()?;
        let words = rest.get(..16 * 3 - 1)?.split(' ');
        words
            .map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect()
    };
    said.lines().filter_map(line).flatten().collect()
}
