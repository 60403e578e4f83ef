//! `cargo landfall wire …` (hidden): a network cable that loses, repeats, delays and corrupts frames.
//!
//! `soak` runs it inside its network namespace, between a tap and another one, or QEMU's UDP socket, on which each frame is a
//! datagram. What it does to frames it reads from its standard input, one JSON object a line; at the end of that it prints what it did, as
//! JSON. The same seed and the same frames give the same faults.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::{BufRead, ErrorKind};
use std::net::{Ipv4Addr, UdpSocket};
use std::num::ParseIntError;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Bytes of a frame, at most.
const LONGEST: usize = 65_535;
/// How often new orders are looked for.
const TICK: Duration = Duration::from_millis(50);
/// Frames taken from one end before it is the turn of the other.
const BURST: usize = 64;

/// Joins a tap to another one, or to a QEMU whose network is a UDP socket
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The tap
    tap: String,
    /// The other end: a tap, or OWN:QEMUS, UDP ports of 127.0.0.1
    guest: Far,
    /// What the faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The end at which the guest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    /// A tap.
    Tap(String),
    /// The port on which this end is, and QEMU's.
    Ports(u16, u16),
}

impl FromStr for Far {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        match text.split_once(':') {
            Some((own, other)) => Ok(Self::Ports(own.parse()?, other.parse()?)),
            None => Ok(Self::Tap(text.to_owned())),
        }
    }
}

impl fmt::Display for Far {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap(name) => formatter.write_str(name),
            Self::Ports(own, other) => write!(formatter, "{own}:{other}"),
        }
    }
}

/// What happens to frames, each per mille.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Faults {
    pub(crate) loss: u32,
    pub(crate) duplicate: u32,
    /// So many wait up to 20 ms longer than the others.
    pub(crate) reorder: u32,
    /// One bit of the packet is another.
    pub(crate) corrupt: u32,
    /// How long every frame takes, in milliseconds.
    pub(crate) delay_ms: u32,
    /// The cable is out.
    pub(crate) cut: bool,
}

/// What was done to frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) frames: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupted: u64,
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Tap,
    Guest,
}

/// Carries frames until the standard input ends.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut wire = Wire {
        tap: End::tap(&arguments.tap)?,
        guest: match &arguments.guest {
            Far::Tap(name) => End::tap(name)?,
            Far::Ports(own, other) => End::ports(*own, *other)?,
        },
        cable: Cable::new(arguments.seed),
    };
    let orders = orders();
    loop {
        match orders.try_recv() {
            Ok(faults) => wire.cable.faults = faults,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
        wire.wait()?;
        wire.carry()?;
    }
    println!("{}", serde_json::to_string(&wire.cable.done)?);
    Ok(ExitCode::SUCCESS)
}

/// What the standard input says.
fn orders() -> Receiver<Faults> {
    let (sender, orders) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let faults = serde_json::from_str(&line).unwrap_or_default();
            if sender.send(faults).is_err() {
                return;
            }
        }
    });
    orders
}

/// Where frames come from and go to, without waiting.
enum End {
    Tap(SyncDevice),
    /// And the port to which they go.
    Socket(UdpSocket, u16),
}

impl End {
    fn tap(name: &str) -> Result<Self> {
        let device = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L2)
            .inherit_enable_state()
            .build_sync()
            .with_context(|| format!("cannot open tap {name}"))?;
        device.set_nonblocking(true)?;
        Ok(Self::Tap(device))
    }

    fn ports(own: u16, other: u16) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, own))?;
        socket.set_nonblocking(true)?;
        Ok(Self::Socket(socket, other))
    }

    fn receive(&self, frame: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tap(device) => device.recv(frame),
            Self::Socket(socket, _) => socket.recv(frame),
        }
    }

    fn send(&self, frame: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tap(device) => device.send(frame),
            Self::Socket(socket, port) => socket.send_to(frame, (Ipv4Addr::LOCALHOST, *port)),
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tap(device) => device.as_fd(),
            Self::Socket(socket, _) => socket.as_fd(),
        }
    }
}

struct Wire {
    tap: End,
    guest: End,
    cable: Cable,
}

impl Wire {
    /// Waits for a frame, or until one is due.
    fn wait(&self) -> Result<()> {
        let time = self.cable.next().map_or(TICK, |at| {
            at.saturating_duration_since(Instant::now()).min(TICK)
        });
        let ends = [self.tap.as_fd(), self.guest.as_fd()];
        let mut ends = ends.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN));
        let time = Timespec::try_from(time)?;
        match poll(&mut ends, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn carry(&mut self) -> Result<()> {
        let mut frame = vec![0; LONGEST];
        for (end, to) in [(&self.tap, To::Guest), (&self.guest, To::Tap)] {
            for _ in 0..BURST {
                let Some(length) = taken(end.receive(&mut frame))? else {
                    break;
                };
                self.cable.take(to, &frame[..length], Instant::now());
            }
        }
        while let Some((to, frame)) = self.cable.give(Instant::now()) {
            // An end that takes nothing at the moment loses it, as a full switch does; the guest may not be there yet.
            let _lost = match to {
                To::Tap => self.tap.send(&frame),
                To::Guest => self.guest.send(&frame),
            };
        }
        Ok(())
    }
}

/// The length of what was read; `None` where there was nothing.
fn taken(read: std::io::Result<usize>) -> Result<Option<usize>> {
    match read {
        Ok(length) => Ok(Some(length)),
        // The other side of a UDP socket is not there yet.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("cannot read a frame"),
    }
}

/// When a frame arrives, its number, where and what it is.
type Arrival = (Instant, u64, To, Vec<u8>);

/// Frames on their way, the next to arrive first.
struct Cable {
    faults: Faults,
    done: Done,
    random: u64,
    frames: BinaryHeap<Reverse<Arrival>>,
}

impl Cable {
    fn new(seed: u64) -> Self {
        Self {
            faults: Faults::default(),
            done: Done::default(),
            random: seed,
            frames: BinaryHeap::new(),
        }
    }

    fn next(&self) -> Option<Instant> {
        self.frames.peek().map(|Reverse((at, ..))| *at)
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.draw() % 1000 < u64::from(per_mille)
    }

    /// A frame enters.
    fn take(&mut self, to: To, frame: &[u8], now: Instant) {
        let faults = self.faults;
        self.done.frames += 1;
        if faults.cut || self.happens(faults.loss) {
            self.done.lost += 1;
            return;
        }
        let mut frame = frame.to_vec();
        // Ethernet's own check would find the rest.
        if frame.len() > 34 && frame[12..14] == [8, 0] && self.happens(faults.corrupt) {
            let at = 14 + self.draw() as usize % (frame.len() - 14);
            frame[at] ^= 1 << (self.draw() % 8);
            self.done.corrupted += 1;
        }
        let mut at = now + Duration::from_millis(faults.delay_ms.into());
        if self.happens(faults.reorder) {
            at += Duration::from_micros(self.draw() % 20_000);
            self.done.reordered += 1;
        }
        if self.happens(faults.duplicate) {
            self.done.duplicated += 1;
            let number = self.done.frames * 2;
            self.frames.push(Reverse((at, number, to, frame.clone())));
        }
        let number = self.done.frames * 2 + 1;
        self.frames.push(Reverse((at, number, to, frame)));
    }

    /// A frame that has arrived leaves.
    fn give(&mut self, now: Instant) -> Option<(To, Vec<u8>)> {
        self.next().filter(|at| *at <= now)?;
        let Reverse((_, _, to, frame)) = self.frames.pop()?;
        Some((to, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(cable: &mut Cable, count: u8) -> Vec<Vec<u8>> {
        let now = Instant::now();
        for number in 0..count {
            let mut frame = [number; 60];
            frame[12..14].copy_from_slice(&[8, 0]);
            cable.take(To::Tap, &frame, now);
        }
        let later = now + Duration::from_secs(1);
        std::iter::from_fn(|| cable.give(later))
            .map(|(_, frame)| frame)
            .collect()
    }

    #[test]
    fn without_faults_frames_arrive_in_order() {
        let mut cable = Cable::new(1);
        let arrived = frames(&mut cable, 100);
        assert!(
            arrived
                .iter()
                .enumerate()
                .all(|(number, frame)| usize::from(frame[0]) == number)
        );
        assert_eq!(
            cable.done,
            Done {
                frames: 100,
                ..Done::default()
            }
        );
    }

    #[test]
    fn faults_happen_as_often_as_they_are_to_and_are_counted() {
        let mut cable = Cable::new(1);
        cable.faults = Faults {
            loss: 200,
            duplicate: 200,
            reorder: 200,
            corrupt: 200,
            ..Faults::default()
        };
        let arrived = frames(&mut cable, 250);
        let Done {
            lost,
            duplicated,
            reordered,
            corrupted,
            ..
        } = cable.done;
        for number in [lost, duplicated, reordered, corrupted] {
            assert!((20..90).contains(&number), "{:?}", cable.done);
        }
        assert_eq!(arrived.len() as u64, 250 - lost + duplicated);
        let mut again = Cable::new(1);
        again.faults = cable.faults;
        assert_eq!(frames(&mut again, 250).len(), arrived.len());
        let wrong = arrived.iter().filter(|frame| {
            frame
                .iter()
                .enumerate()
                .any(|(at, byte)| !(12..14).contains(&at) && *byte != frame[0])
        });
        assert!(wrong.count() > 0);
    }

    #[test]
    fn the_far_end_reads_as_it_is_written() {
        for (text, end) in [
            ("tap1", Far::Tap("tap1".to_owned())),
            ("7001:7002", Far::Ports(7001, 7002)),
        ] {
            assert_eq!(text.parse(), Ok(end.clone()));
            assert_eq!(end.to_string(), text);
        }
        assert!("7001:70002".parse::<Far>().is_err());
    }

    #[test]
    fn a_cable_that_is_out_carries_nothing() {
        let mut cable = Cable::new(1);
        cable.faults = Faults {
            cut: true,
            ..Faults::default()
        };
        assert!(frames(&mut cable, 10).is_empty());
        assert_eq!(cable.done.lost, 10);
    }
}
