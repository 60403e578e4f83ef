//! A tap device as a network card, so that our own IP stack runs in this process.
//!
//! Frames are read and written by the task of the stack. While there is nothing to do it waits for the thread
//! of `async-io`, which sleeps in epoll_wait(2). Changes of the link are heard of by a route socket
//! (rtnetlink(7), `RTMGRP_LINK`).

use async_io::Async;
use embassy_net_driver::{
    Capabilities, Driver, HardwareAddress, LinkState, RxToken as ReceiveToken,
    TxToken as TransmitToken,
};
use fnv::FnvHasher;
use landfall::{
    SegmentationOffload,
    arguments::{Argument, ArgumentError, ArgumentValue, Words, argument},
    log::{debug, error, warn},
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netdevice::name_to_index,
        netlink::SocketAddrNetlink, recv, socket_with,
    },
};
use std::{
    error::Error,
    fmt,
    hash::Hasher,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    task::{Context, Poll},
};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// What this board understands beside the runtime and the app.
pub(crate) const ARGUMENTS: &[Argument<'static>] = &[
    argument!(
        "R",
        "tap",
        "TapName",
        "the host's sockets",
        "a tap device, for an IP stack of the process's own (with ip and gateway)"
    ),
    argument!(
        "R",
        "mac",
        "MacAddress",
        "made of the tap's name",
        "the hardware address on the tap"
    ),
];

/// The longest name of a network device (Linux `IFNAMSIZ`, without the NUL).
const LONGEST_NAME: usize = 15;
/// Two addresses and the type (IEEE 802.3, 3.2).
const ETHERNET_HEADER: usize = 14;
/// What every IPv4 host takes (RFC 791, 3.1), whatever the tap is set to.
const SMALLEST_MTU: usize = 576;
/// Changes of links (linux/rtnetlink.h, `RTMGRP_LINK`).
const LINK_CHANGES: u32 = 1;

/// The card that the boot arguments ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    tap: TapName,
    mac: Option<MacAddress>,
}

impl Wanted {
    /// Reads the arguments; `None` where no card is asked for.
    ///
    /// # Errors
    /// [`ArgumentError::BadValue`].
    pub(crate) fn read(words: &Words) -> Result<Option<Self>, ArgumentError> {
        let (tap, mac) = (words.value("tap")?, words.value("mac")?);
        match (tap, mac) {
            (Some(tap), mac) => Ok(Some(Self { tap, mac })),
            (None, None) => Ok(None),
            (None, Some(MacAddress(mac))) => Err(ArgumentError::BadValue {
                key: "mac".into(),
                value: mac.map(|byte| format!("{byte:02x}")).join(":"),
                expected: "tap=NAME beside it",
            }),
        }
    }
}

/// The name of a network device.
#[derive(Clone, Debug, Eq, PartialEq)]
struct TapName(String);

impl ArgumentValue for TapName {
    const EXPECTED: &'static str = "the name of a tap device, such as tap0, of at most 15 letters";

    fn read(text: &str) -> Option<Self> {
        // What Linux allows in a name (`dev_valid_name`); a word has no spaces.
        let fits = (1..=LONGEST_NAME).contains(&text.len());
        let dots = matches!(text, "." | "..");
        let named = fits && !dots && !text.contains(['/', ':', '%']);
        named.then(|| Self(text.into()))
    }
}

impl TapName {
    /// Returns a hardware address that is the tap's each time: locally administered, of one station.
    fn mac(&self) -> MacAddress {
        let mut hash = FnvHasher::default();
        hash.write(self.0.as_bytes());
        let [_, _, _, a, b, c, d, e] = hash.finish().to_be_bytes();
        MacAddress([0x02, a, b, c, d, e])
    }
}

/// The hardware address of one station.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct MacAddress([u8; 6]);

impl ArgumentValue for MacAddress {
    const EXPECTED: &'static str = "the address of one station, such as 02:00:00:00:00:01";

    fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            // A sign would be part of a number, too.
            let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| digits)?;
        }
        // The lowest bit of the first byte makes it a group's (IEEE 802, 8.2).
        let one = bytes[0] & 1 == 0 && bytes != [0; 6];
        (parts.next().is_none() && one).then_some(Self(bytes))
    }
}

/// Why there is no card.
#[derive(Debug)]
pub(crate) struct TapError {
    tap: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Missing,
    Open(io::Error),
    System(io::Error),
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tap = &self.tap;
        let error = match &self.cause {
            Cause::Missing => {
                return write!(
                    f,
                    "there is no network device {tap}; as root: ip tuntap add dev {tap} mode tap && \
                     ip address add 10.0.0.1/24 dev {tap} && ip link set {tap} up"
                );
            }
            Cause::System(error) => return write!(f, "network device {tap}: {error}"),
            Cause::Open(error) => error,
        };
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => {
                write!(f, "this machine has no /dev/net/tun; as root: modprobe tun")
            }
            Some(Errno::ACCESS) => write!(f, "this user may not open /dev/net/tun; run it as root"),
            Some(Errno::PERM) => write!(
                f,
                "tap {tap} is for root and its owner; as root: \
                 ip tuntap add dev {tap} mode tap user NAME makes one that NAME owns"
            ),
            Some(Errno::BUSY) => write!(f, "tap {tap} is in use by another process"),
            Some(Errno::INVAL) => write!(
                f,
                "network device {tap} is no tap, or one of several queues"
            ),
            _ => write!(f, "tap {tap}: {error}"),
        }
    }
}

impl Error for TapError {}

/// A tap, seen from its inside: what the host sends to it is received here.
pub(crate) struct Tap {
    device: Async<SyncDevice>,
    /// Readable when a link of this machine has changed.
    changes: Async<OwnedFd>,
    link: Link,
    mac: MacAddress,
    received: Vec<u8>,
    outgoing: Outgoing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Up,
    Down,
    /// Somebody has removed the tap.
    Gone,
}

impl Tap {
    /// Attaches to a tap that is there.
    ///
    /// # Errors
    /// [`TapError`]: there is no such tap, or it is not to be had.
    pub(crate) fn open(wanted: Wanted) -> Result<Self, TapError> {
        let Wanted { tap, mac } = wanted;
        let mac = mac.unwrap_or_else(|| tap.mac());
        let name = tap.0.clone();
        let failed = |cause| TapError { tap: tap.0, cause };
        let changes = match link_changes(&name) {
            Ok(Some(changes)) => changes,
            Ok(None) => return Err(failed(Cause::Missing)),
            Err(error) => return Err(failed(Cause::System(error))),
        };
        let device = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L2)
            .inherit_enable_state()
            .build_sync();
        match device {
            Ok(device) => {
                Self::of(device, changes, mac).map_err(|error| failed(Cause::System(error)))
            }
            Err(error) => Err(failed(Cause::Open(error))),
        }
    }

    fn of(device: SyncDevice, changes: OwnedFd, mac: MacAddress) -> io::Result<Self> {
        let packet = usize::from(device.mtu()?).max(SMALLEST_MTU);
        let frame = packet + ETHERNET_HEADER;
        let mut tap = Self {
            device: Async::new(device)?,
            changes: Async::new(changes)?,
            link: Link::Down,
            mac,
            // One more: so that a frame that is too long is known for it.
            received: vec![0; frame + 1],
            outgoing: Outgoing {
                frame: vec![0; frame],
                waiting: None,
                complained: false,
            },
        };
        tap.look_at_link();
        Ok(tap)
    }

    fn look_at_link(&mut self) {
        self.link = match self.device.get_ref().is_running() {
            _ if self.link == Link::Gone => Link::Gone,
            Ok(true) => Link::Up,
            Ok(false) => Link::Down,
            Err(error) => self.gone(&error),
        };
    }

    fn gone(&self, error: &io::Error) -> Link {
        if self.link != Link::Gone {
            error!(target: "net", "the tap is gone: {error}");
        }
        Link::Gone
    }

    /// Reads the next frame into `received`; returns its length.
    fn read(&mut self, context: &mut Context<'_>) -> Option<usize> {
        while self.link != Link::Gone {
            match self.device.get_ref().recv(&mut self.received) {
                Ok(length) if length < self.received.len() => return Some(length),
                // The tap's MTU has grown since the stack was made.
                Ok(_) => {
                    debug!(target: "net", "a frame is longer than the MTU was at the start: dropped")
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.device.poll_readable(context).is_pending() {
                        return None;
                    }
                }
                Err(error) => self.link = self.gone(&error),
            }
        }
        None
    }
}

/// Opens the socket that hears of changes of links; `None` where there is no link called `name`.
fn link_changes(name: &str) -> io::Result<Option<OwnedFd>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is the first protocol, which is what none stands for.
        None,
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, LINK_CHANGES))?;
    match name_to_index(&socket, name) {
        Ok(_) => Ok(Some(socket)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The way out, with room for one frame.
struct Outgoing {
    frame: Vec<u8>,
    /// The bytes of a frame that the tap had no room for.
    waiting: Option<usize>,
    complained: bool,
}

impl Outgoing {
    /// Makes room; returns whether there is some. If not, the task is woken when it is worth another try.
    fn make_room(&mut self, device: &Async<SyncDevice>, context: &mut Context<'_>) -> bool {
        while let Some(length) = self.waiting {
            self.write(device.get_ref(), length);
            if self.waiting.is_some() && device.poll_writable(context).is_pending() {
                return false;
            }
        }
        true
    }

    /// Writes the frame, which then waits or is done with.
    fn write(&mut self, device: &SyncDevice, length: usize) {
        self.waiting = None;
        match device.send(&self.frame[..length]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.waiting = Some(length),
            // As on a wire without a plug, while the tap is down (EIO).
            Err(error) if !self.complained => {
                self.complained = true;
                warn!(target: "net", "the tap takes no frame: {error}; later ones are dropped silently");
            }
            Err(_) => {}
        }
    }
}

/// A frame that was received.
pub(crate) struct Received<'a>(&'a mut [u8]);

impl ReceiveToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, look: F) -> R {
        look(self.0)
    }
}

/// The right to send a frame.
pub(crate) struct Sending<'a> {
    device: &'a SyncDevice,
    outgoing: &'a mut Outgoing,
}

impl TransmitToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let result = fill(&mut self.outgoing.frame[..length]);
        self.outgoing.write(self.device, length);
        result
    }
}

impl SegmentationOffload for Tap {}

impl Driver for Tap {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, Sending<'_>)> {
        if !self.outgoing.make_room(&self.device, context) {
            return None;
        }
        let length = self.read(context)?;
        let sending = Sending {
            device: self.device.get_ref(),
            outgoing: &mut self.outgoing,
        };
        Some((Received(&mut self.received[..length]), sending))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Sending<'_>> {
        let room = self.outgoing.make_room(&self.device, context);
        room.then(|| Sending {
            device: self.device.get_ref(),
            outgoing: &mut self.outgoing,
        })
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        while let Poll::Ready(ready) = self.changes.poll_readable(context) {
            // Which link it was, and how, is asked of the tap itself.
            let heard = ready.map(|()| recv(&self.changes, &mut [0; 1], RecvFlags::TRUNC));
            self.look_at_link();
            if heard.is_err() {
                break;
            }
        }
        match self.link {
            Link::Up => LinkState::Up,
            Link::Down | Link::Gone => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = self.outgoing.frame.len();
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(line: &str) -> Result<Option<Wanted>, ArgumentError> {
        Wanted::read(&Words::parse(line)?)
    }

    #[test]
    fn a_card_is_there_for_the_asking() {
        assert_eq!(wanted("port=80"), Ok(None));
        let asked = wanted("tap=tap0 mac=02:00:00:00:0a:ff").map(|it| it.map(|it| it.mac));
        assert_eq!(asked, Ok(Some(Some(MacAddress([2, 0, 0, 0, 0x0a, 0xff])))));
    }

    #[test]
    fn names_that_no_device_has_are_refused() {
        for bad in ["", ".", "..", "a/b", "a:b", "a%d", "sixteen-letters-"] {
            assert!(wanted(&format!("tap={bad}")).is_err(), "{bad:?}");
        }
        assert!(wanted("tap=fifteen-letters").is_ok());
    }

    #[test]
    fn addresses_that_no_station_has_are_refused() {
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:+1",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            assert!(wanted(&format!("tap=tap0 mac={bad}")).is_err(), "{bad:?}");
        }
        assert!(wanted("mac=02:00:00:00:00:01").is_err());
    }

    #[test]
    fn a_tap_has_the_same_address_each_time_and_another_one_another() {
        let mac = |name: &str| TapName(name.into()).mac().0;
        assert_eq!(mac("tap0"), [0x02, 0xef, 0x07, 0xac, 0xd0, 0x16]);
        assert_ne!(mac("tap1"), mac("tap0"));
        assert_eq!(mac("tap1")[0], 0x02);
    }

    #[test]
    fn a_device_that_is_not_there_is_told_how_to_make() {
        let wanted = wanted("tap=no-such-tap").expect("a good name");
        let Err(error) = Tap::open(wanted.expect("it is asked for")) else {
            panic!("there is such a tap");
        };
        let sentence = error.to_string();
        assert!(
            sentence.contains("ip tuntap add dev no-such-tap mode tap"),
            "{sentence}"
        );
    }
}
