//! A network of a test's own: a namespace with a tap, and a socket that writes raw frames to it.
//!
//! Making one needs root. Names hold the process's id; everything is removed with the value.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, send, socket,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::{Lab, has_program};
use crate::{DEADLINE, wait_until};

/// The tap's name inside of the namespace.
pub const TAP: &str = "tap0";

/// This machine's address in the namespace.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// This machine's address on the tap.
pub const HOST_MAC: [u8; 6] = [0x02, 0x4c, 0x46, 0, 0, 1];
/// The address that QEMU gives a guest's first network card.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// The port that the guest listens on.
pub const PORT: u16 = 8080;

/// A network namespace with a tap in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one, or says why that is not possible here.
    pub fn new() -> Result<Self, &'static str> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            return Err("a network namespace with a tap needs root");
        }
        if !std::path::Path::new("/dev/net/tun").exists() {
            return Err("a tap needs /dev/net/tun");
        }
        if !has_program("ip") {
            return Err("a network namespace needs the program ip (package iproute2)");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("landfall-test-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        // From here on it is removed, also when one of the next lines fails.
        let namespace = Self { name };
        let mac = HOST_MAC.map(|byte| format!("{byte:02x}")).join(":");
        // By which this machine reaches itself.
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace.ip(&["tuntap", "add", "dev", TAP, "mode", "tap"]);
        // A queue that holds a batch of frames: none is lost on its way to the guest.
        namespace.ip(&["link", "set", TAP, "address", &mac, "txqueuelen", "10000"]);
        namespace.ip(&["address", "add", &format!("{HOST}/24"), "dev", TAP]);
        namespace.ip(&["link", "set", TAP, "up"]);
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the guest listens.
    pub fn guest(&self) -> SocketAddr {
        (GUEST, PORT).into()
    }

    /// The boot arguments that give a guest its place in the network.
    pub fn place(&self) -> [String; 2] {
        [format!("ip={GUEST}/24"), format!("gateway={HOST}")]
    }

    /// A command that runs `program` inside, and dies with the thread that starts it.
    pub fn command(&self, lab: &Lab, program: impl AsRef<OsStr>) -> Command {
        let mut command = lab.supervised("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Gives this machine one more address on the tap, which it may have already.
    pub fn add_address(&self, address: &str) {
        self.ip(&["address", "replace", address, "dev", TAP, "nodad"]);
    }

    /// Gives this machine one more address, which dnsmasq leaves alone since it is not the tap's.
    pub fn add_address_beside(&self, address: Ipv4Addr) {
        self.ip(&["address", "replace", &format!("{address}/32"), "dev", "lo"]);
    }

    /// Sends what is for `network` to the tap.
    pub fn add_route(&self, network: &str) {
        self.ip(&["route", "replace", network, "dev", TAP]);
    }

    /// Moves this machine's addresses, those of `more` too, behind a bridge and a link that takes no large frames: Linux cuts
    /// what a guest has left to its card, as for a wire, where it would take it whole (ip-link(8), `gso_max_size`).
    pub fn cut_large_frames(&self, more: &[&str]) {
        let [bridge, outer, inner] = ["bridge0", "cut0", "cut1"];
        self.ip(&["address", "flush", "dev", TAP]);
        self.ip(&["link", "add", bridge, "type", "bridge"]);
        self.ip(&["link", "add", outer, "type", "veth", "peer", "name", inner]);
        self.ip(&["link", "set", outer, "gso_max_size", "2000"]);
        for link in [TAP, outer] {
            self.ip(&["link", "set", link, "master", bridge, "up"]);
        }
        for link in [bridge, inner] {
            self.ip(&["link", "set", link, "up"]);
        }
        let own = format!("{HOST}/24");
        for address in [&[own.as_str()], more].concat() {
            self.ip(&["address", "add", address, "dev", inner, "nodad"]);
        }
    }

    /// Returns the tap's number, which tells addresses of its link from those of others.
    pub fn tap_index(&self) -> u32 {
        let output = ip(&["-n", &self.name, "-j", "link", "show", TAP]);
        let links: serde_json::Value = serde_json::from_str(&output).expect("ip prints JSON");
        let index = links[0]["ifindex"].as_u64();
        u32::try_from(index.expect("ip numbers links")).expect("a small number")
    }

    /// Changes the tap as `ip link set` does.
    pub fn set_tap(&self, words: &[&str]) {
        self.ip(&[&["link", "set", TAP], words].concat());
    }

    /// Runs `job` in a thread whose sockets are those of the namespace, and the threads it starts too.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        let namespace =
            File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                job()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Removes the tap.
    pub fn remove_tap(&self) {
        self.ip(&["link", "delete", TAP]);
    }

    /// Returns how many frames have left the tap towards the guest.
    pub fn frames_to_guest(&self) -> u64 {
        let output = ip(&["-n", &self.name, "-s", "-j", "link", "show", TAP]);
        let links: serde_json::Value = serde_json::from_str(&output).expect("ip prints JSON");
        links[0]["stats64"]["tx"]["packets"]
            .as_u64()
            .expect("ip counts frames")
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.name], words].concat());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The tap goes with it.
        let removed = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("the network namespace {} is left over", self.name);
        }
    }
}

fn ip(words: &[&str]) -> String {
    let output = Command::new("ip")
        .args(words)
        .output()
        .expect("ip can be started");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {message}", words.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes Ethernet frames to the tap.
#[derive(Debug)]
pub struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens one, inside of [`Namespace::run`].
    pub fn open() -> Self {
        let mut interfaces = getifaddrs().expect("Linux lists interfaces");
        let tap = interfaces.find_map(|interface| {
            let address = interface.address?;
            (interface.interface_name == TAP)
                .then_some(address.as_link_addr().copied())
                .flatten()
        });
        let tap = tap.expect("the tap is in this namespace");
        let protocol = SockProtocol::EthAll;
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        );
        let socket = socket.expect("root may have raw sockets");
        bind(socket.as_raw_fd(), &tap).expect("the tap is there");
        Self(socket)
    }

    /// Sends a frame as soon as there is room for it.
    pub fn send(&self, frame: &[u8]) {
        wait_until("room for a frame", DEADLINE, || {
            match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(_) => Some(()),
                Err(Errno::ENOBUFS | Errno::EAGAIN) => None,
                Err(error) => panic!("a frame of {} bytes: {error}", frame.len()),
            }
        });
    }
}

/// Asks for an echo with so many bytes of data, and waits for it (RFC 792, RFC 4443). To be called inside of
/// [`Namespace::run`]; the port does not matter.
pub fn ping(to: SocketAddr, length: usize) {
    // Linux fills in the checksum of ICMPv6, and keeps the header of IPv4.
    let (domain, protocol, request, reply, header) = match to {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0, 20),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129, 0),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("root may ask");
    socket.connect(&to.into()).expect("a way");
    let pause = Some(std::time::Duration::from_secs(1));
    socket.set_read_timeout(pause).expect("it is not zero");
    let data: Vec<u8> = (0..length).map(|at| at as u8).collect();
    let mut message = [&[request, 0, 0, 0, 0x12, 0x34, 0, 1][..], &data].concat();
    if to.is_ipv4() {
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum);
    }
    wait_until("an echo", DEADLINE, || {
        (&socket).write_all(&message).expect("a way");
        let mut answer = [0; 1600];
        let got = (&socket).read(&mut answer).ok()?;
        let answer = answer[..got].get(header..)?;
        let echo = answer.first() == Some(&reply) && answer.get(4..)? == &message[4..];
        echo.then_some(())
    });
}

/// Builds an Ethernet frame from this machine to the guest.
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&GUEST_MAC[..], &HOST_MAC, &ethertype.to_be_bytes(), payload].concat()
}

/// Builds an IPv4 packet without options (RFC 791, 3.1).
pub fn ipv4(source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len())
        .expect("it fits a frame")
        .to_be_bytes();
    let mut header = [
        0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    header[12..16].copy_from_slice(&source.octets());
    header[16..].copy_from_slice(&GUEST.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    [&header[..], payload].concat()
}

/// Builds a TCP segment to the guest's port with a right checksum (RFC 9293, 3.1).
pub fn tcp(source: (Ipv4Addr, u16), sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(source.1.to_be_bytes());
    segment.extend(PORT.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    let length = u16::try_from(segment.len())
        .expect("it fits a frame")
        .to_be_bytes();
    let (from, to) = (source.0.octets(), GUEST.octets());
    let sum = checksum(&[&from, &to, &[0, 6], &length, &segment]);
    segment[16..18].copy_from_slice(&sum);
    segment
}

/// The Internet checksum (RFC 1071) over parts of even length; only the last may be odd.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u32::from(low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // After the loop it fits.
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_make_the_sum_zero() {
        let packet = ipv4(HOST, 6, b"abc");
        assert_eq!(checksum(&[&packet[..20]]), [0, 0]);
        // RFC 1071, 3.
        assert_eq!(
            checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]),
            [0x22, 0x0d]
        );
    }
}
