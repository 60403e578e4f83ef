//! The messages of neighbour discovery that this host handles by itself (RFC 4861, RFC 4862, RFC 8106):
//! what it asks before it has an address, how it defends one, and what routers advertise.
//!
//! Frames that are read here have passed [`crate::demux`], so their lengths are right; what they say is
//! not trusted.

use core::net::Ipv6Addr;
use core::task::Context;

use embassy_net_driver::{Driver, TxToken};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, HardwareAddress, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

use crate::clock::Duration;
use crate::demux::ETHERNET_HEADER;
use crate::demux::ipv6::{HEADER, address_at};
use crate::device::Meter;

/// Where the message begins in a frame.
const MESSAGE: usize = ETHERNET_HEADER + HEADER;
/// Everybody on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The routers on the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Options of a router's advertisement.
const PREFIX: u8 = 3;
const NAME_SERVERS: u8 = 25;

/// What this host says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Message {
    /// Asks whether somebody has this address, by nobody's address.
    Ask(Ipv6Addr),
    /// Tells everybody that this address is ours.
    Claim(Ipv6Addr),
    /// Asks routers to advertise, from this address.
    Solicit(Ipv6Addr),
    /// Asks, from the first address, for the hardware address of the second.
    Resolve(Ipv6Addr, Ipv6Addr),
}

impl Message {
    /// Returns who says it and to whom.
    fn ends(self) -> (Ipv6Addr, Ipv6Addr) {
        match self {
            Message::Ask(target) => (Ipv6Addr::UNSPECIFIED, solicited_node(target)),
            Message::Claim(own) => (own, ALL_NODES),
            Message::Solicit(own) => (own, ALL_ROUTERS),
            Message::Resolve(own, target) => (own, solicited_node(target)),
        }
    }

    /// Sends it; `None` while the device has no room, which wakes the task when it has.
    pub(crate) fn send<D: Driver>(
        self,
        hardware: [u8; 6],
        device: &mut D,
        cx: &mut Context<'_>,
    ) -> Option<Meter> {
        let own = HardwareAddress::Ethernet(EthernetAddress(hardware));
        let (from, to) = self.ends();
        let message = Icmpv6Repr::Ndisc(match self {
            Message::Ask(target_addr) => NdiscRepr::NeighborSolicit {
                target_addr,
                lladdr: None,
            },
            Message::Claim(target_addr) => NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::OVERRIDE,
                target_addr,
                lladdr: Some(own.into()),
            },
            Message::Solicit(_) => NdiscRepr::RouterSolicit {
                lladdr: Some(own.into()),
            },
            Message::Resolve(_, target_addr) => NdiscRepr::NeighborSolicit {
                target_addr,
                lladdr: Some(own.into()),
            },
        });
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress(hardware),
            dst_addr: EthernetAddress(group_hardware(to)),
            ethertype: EthernetProtocol::Ipv6,
        };
        let header = Ipv6Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.buffer_len(),
            hop_limit: 255,
        };
        let length = MESSAGE + message.buffer_len();
        device.transmit(cx)?.consume(length, |frame| {
            ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
            header.emit(&mut Ipv6Packet::new_unchecked(
                &mut frame[ETHERNET_HEADER..],
            ));
            let mut packet = Icmpv6Packet::new_unchecked(&mut frame[MESSAGE..]);
            message.emit(&from, &to, &mut packet, &ChecksumCapabilities::default());
        });
        Some(Meter::one(length))
    }
}

/// The group that whoever has an address is in (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a & 0xff, b)
}

/// The hardware address of a group (RFC 2464, 7).
fn group_hardware(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Returns the address of the link that belongs to a hardware address (RFC 4291, 2.5.6 and appendix A), as
/// its lower half belongs to every prefix.
pub(crate) fn link_address(hardware: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = hardware;
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

/// Returns the address that `prefix` and the lower half of `link` make.
pub(crate) fn in_prefix(prefix: Ipv6Addr, link: Ipv6Addr) -> Ipv6Addr {
    let upper = prefix.to_bits() & !u128::from(u64::MAX);
    Ipv6Addr::from_bits(upper | link.to_bits() & u128::from(u64::MAX))
}

/// What a neighbour has said of an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The address.
    pub(crate) target: Ipv6Addr,
    /// Who says it, by hardware address.
    pub(crate) hardware: [u8; 6],
    /// By which address.
    pub(crate) from: Ipv6Addr,
    /// It only asks.
    pub(crate) asks: bool,
}

/// Reads a solicitation or advertisement of a neighbour.
pub(crate) fn claim(frame: &[u8]) -> Option<Claim> {
    Some(Claim {
        target: address_at(frame, MESSAGE + 8)?,
        hardware: *frame.get(6..12)?.first_chunk()?,
        from: address_at(frame, ETHERNET_HEADER + 8)?,
        asks: *frame.get(MESSAGE)? == crate::demux::ipv6::NEIGHBOUR_SOLICITATION,
    })
}

/// What a router advertises.
pub(crate) struct Advertisement<'a> {
    /// The router.
    pub(crate) router: Ipv6Addr,
    /// How long it leads to other networks; zero if it does not.
    pub(crate) lifetime: Duration,
    options: &'a [u8],
}

/// An option of an advertisement.
pub(crate) enum Advertised {
    /// A network.
    Prefix(Prefix),
    /// A name server, for so long.
    Server(Ipv6Addr, Option<Duration>),
}

/// A network whose hosts may make their own addresses (RFC 4861, 4.6.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix {
    pub(crate) address: Ipv6Addr,
    /// Its hosts reach each other without a router.
    pub(crate) on_link: bool,
    /// How long addresses may be used; `None` for ever.
    pub(crate) valid: Option<Duration>,
}

/// Reads a router's advertisement.
pub(crate) fn advertisement(frame: &[u8]) -> Option<Advertisement<'_>> {
    let length = usize::from(u16::from_be_bytes([*frame.get(18)?, *frame.get(19)?]));
    let message = frame.get(MESSAGE..MESSAGE + length)?;
    let (head, options) = message.split_at_checked(16)?;
    let lifetime = u16::from_be_bytes([head[6], head[7]]);
    Some(Advertisement {
        router: address_at(frame, ETHERNET_HEADER + 8)?,
        lifetime: Duration::from_secs(lifetime.into()),
        options,
    })
}

impl Advertisement<'_> {
    /// Calls `each` for everything that is advertised and can be used.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Advertised)) {
        let mut rest = self.options;
        while let Some((option, after)) = rest
            .get(1)
            .and_then(|&length| rest.split_at_checked(usize::from(length) * 8))
            .filter(|(option, _)| !option.is_empty())
        {
            rest = after;
            match option[0] {
                PREFIX => prefix(option)
                    .into_iter()
                    .for_each(|it| each(Advertised::Prefix(it))),
                NAME_SERVERS if option.len() >= 24 => {
                    let lifetime = lifetime_at(option, 4);
                    for server in (8..).step_by(16).map_while(|at| address_at(option, at)) {
                        each(Advertised::Server(server, lifetime));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Returns the network of an option, if hosts are to make addresses in it.
fn prefix(option: &[u8]) -> Option<Prefix> {
    const ON_LINK: u8 = 0x80;
    const AUTONOMOUS: u8 = 0x40;
    let (length, flags) = (*option.get(2)?, *option.get(3)?);
    let (valid, preferred) = (lifetime_at(option, 4), lifetime_at(option, 8));
    let address = address_at(option, 16)?;
    // The lower half is the host's (RFC 4862, 5.5.3 d). Lifetimes that contradict each other are ignored (c),
    // as are the prefix of the link (b) and those of no host.
    let contradictory = match (preferred, valid) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(preferred), Some(valid)) => preferred > valid,
    };
    let good = length == 64
        && flags & AUTONOMOUS != 0
        && !contradictory
        && !address.is_unicast_link_local()
        && !address.is_multicast()
        && !address.is_loopback()
        && !address.is_unspecified()
        && address.to_ipv4_mapped().is_none();
    good.then_some(Prefix {
        address,
        on_link: flags & ON_LINK != 0,
        valid,
    })
}

/// Returns a lifetime in seconds; `None` for ever.
fn lifetime_at(option: &[u8], at: usize) -> Option<Duration> {
    let bytes = option.get(at..at + 4)?.first_chunk::<4>()?;
    let seconds = u32::from_be_bytes(*bytes);
    (seconds != u32::MAX).then(|| Duration::from_secs(seconds.into()))
}
