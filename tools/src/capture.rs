//! Frames of a network device, kept in a pcap file.
//!
//! A packet socket (packet(7)) sees what this machine sends to the device and what it gets from it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};

/// How often the capture looks whether it is to end.
const TICK_MS: i64 = 100;

/// How long it goes on for frames that were on their way at its end.
const LATE: Duration = Duration::from_secs(1);

/// As much as a frame of a tap can have, and what pcap files have by default.
const LARGEST_FRAME: usize = 65_535;

/// A capture that goes on until this value is dropped.
pub(crate) struct Capture {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Capture {
    /// Begins to keep the frames of `device` in `file`.
    pub(crate) fn start(device: &str, file: &Path) -> Result<Self> {
        let socket =
            packets_of(device).with_context(|| format!("cannot capture frames of {device}"))?;
        let writer = create(file)?;
        let done = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&done);
        let thread = std::thread::spawn(move || keep(&socket, writer, &ending));
        Ok(Self {
            done,
            thread: Some(thread),
        })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("warning: the capture ended early: {error:#}");
        }
    }
}

/// Opens a packet socket for one device.
fn packets_of(device: &str) -> Result<OwnedFd> {
    let packets = (AddressFamily::Packet, SockType::Raw, SockProtocol::EthAll);
    let socket = socket(packets.0, packets.1, SockFlag::SOCK_CLOEXEC, packets.2)
        .context("a packet socket needs root")?;
    bind(socket.as_raw_fd(), &network_device(device)?)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(TICK_MS))?;
    Ok(socket)
}

/// Finds a network device of this machine by its name.
pub(crate) fn network_device(name: &str) -> Result<LinkAddr> {
    getifaddrs()?
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .with_context(|| {
            format!("there is no network device {name}; as root: ip tuntap add dev {name} mode tap")
        })
}

fn create(file: &Path) -> Result<PcapWriter<File>> {
    let context = || format!("cannot write {}", file.display());
    let output = File::create(file).with_context(context)?;
    // Without a buffer: somebody may be reading along.
    PcapWriter::new(output).with_context(context)
}

fn keep(socket: &OwnedFd, mut writer: PcapWriter<File>, done: &AtomicBool) -> Result<()> {
    let mut frame = vec![0; LARGEST_FRAME];
    let mut end = None;
    loop {
        if end.is_none() && done.load(Ordering::Relaxed) {
            end = Some(Instant::now() + LATE);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        match recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
                let length_on_wire = u32::try_from(length)?;
                writer.write_packet(&PcapPacket::new(now, length_on_wire, &frame[..length]))?;
            }
            Err(Errno::EAGAIN) if end.is_some() => return Ok(()),
            // Nothing to keep for a while; the device is down; or it is gone, and may come back.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Counts the frames in a pcap file. One that was being written when its writer ended does not count.
pub(crate) fn frames_in(file: &Path) -> Result<u64> {
    let context = || format!("cannot read {}", file.display());
    let input = File::open(file).with_context(context)?;
    let mut reader = PcapReader::new(input).with_context(context)?;
    let mut frames = 0;
    while let Some(Ok(_)) = reader.next_raw_packet() {
        frames += 1;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("a.pcap");
        let mut writer = create(&file).expect("the folder is ours");
        for length in [60, 1514] {
            let frame = vec![7; length];
            let packet = PcapPacket::new(Duration::from_secs(1), length as u32, &frame);
            writer.write_packet(&packet).expect("there is room");
        }
        drop(writer);
        assert_eq!(frames_in(&file).expect("a sound file"), 2);
        let whole = std::fs::read(&file).expect("it is there");
        std::fs::write(&file, &whole[..whole.len() - 1]).expect("it can be written");
        assert_eq!(frames_in(&file).expect("a sound start"), 1);
        std::fs::write(&file, "no pcap").expect("it can be written");
        assert!(frames_in(&file).is_err());
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        assert!(network_device("lo").is_ok());
        let error = network_device("no-such-tap").expect_err("there is none");
        assert!(error.to_string().contains("no-such-tap"), "{error}");
    }
}
