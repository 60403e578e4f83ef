//! Says whose a received frame is, and drops what no socket should see.
//!
//! [`classify`] reads a frame with checked lengths and nothing but the frame, this host's addresses
//! and the checksum duty. It lets nothing through that smoltcp could trip over: fragments (which
//! smoltcp without reassembly would take for whole packets), sources that cannot be hosts (a reply
//! to them would be addressed to nobody, which smoltcp asserts against), TCP by broadcast.

#[cfg(feature = "ipv6")]
pub(crate) mod ipv6;

use core::net::Ipv4Addr;

#[cfg(feature = "multicast")]
use smoltcp::iface::Interface;
use smoltcp::wire::IpAddress;

use crate::Address;
use crate::device::ChecksumDuty;
use landfall_offload::checksum;

/// Length of an Ethernet header.
pub(crate) const ETHERNET_HEADER: usize = 14;
/// Length of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
/// EtherType of ARP.
pub(crate) const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// EtherType of IPv4.
pub(crate) const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// IPv4 protocol number of ICMP.
const ICMP: u8 = 1;
/// IPv4 protocol number of IGMP.
#[cfg(feature = "multicast")]
const IGMP: u8 = 2;
/// IPv4 protocol number of TCP.
pub(crate) const TCP: u8 = 6;
/// IPv4 protocol number of UDP.
pub(crate) const UDP: u8 = 17;
/// The port a DHCP server answers from.
const DHCP_SERVER: u16 = 67;
/// The port a DHCP client is answered at.
pub(crate) const DHCP_CLIENT: u16 = 68;

/// Flags of a TCP segment.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A TCP connection as seen from this host: both its ends.
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Flow {
    /// The peer's port and this host's. First, since they tell most connections apart.
    ports: (u16, u16),
    remote: IpAddress,
    local: IpAddress,
}

impl Flow {
    /// The connection between these ends.
    pub(crate) fn new(remote: (IpAddress, u16), local: (IpAddress, u16)) -> Flow {
        Flow {
            ports: (remote.1, local.1),
            remote: remote.0,
            local: local.0,
        }
    }

    /// Returns the peer's address.
    pub(crate) fn remote(self) -> IpAddress {
        self.remote
    }

    /// Returns the peer's port.
    pub(crate) fn remote_port(self) -> u16 {
        self.ports.0
    }

    /// Returns this host's address.
    pub(crate) fn local(self) -> IpAddress {
        self.local
    }

    /// Returns this host's port.
    pub(crate) fn local_port(self) -> u16 {
        self.ports.1
    }
}

/// What a TCP segment may do to the table of connections.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Segment {
    /// A SYN without ACK: the wish to open a connection.
    Open,
    /// A reset.
    Reset,
    /// Anything else.
    Other,
}

/// Whose a frame is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Class {
    /// An ARP packet.
    Arp,
    /// An ICMP message.
    Icmp,
    /// A router asks who is in which multicast group (IGMP, MLD).
    #[cfg(feature = "multicast")]
    Membership,
    /// Neighbour discovery, other than a router's advertisement.
    #[cfg(feature = "ipv6")]
    Neighbour,
    /// A router's advertisement.
    #[cfg(feature = "ipv6")]
    Router,
    /// The answer of a DHCP server.
    Dhcp,
    /// A datagram to this UDP port, with so many bytes of data.
    Udp(u16, usize),
    /// A TCP segment.
    Tcp(Flow, Segment),
}

/// Why a frame is dropped.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Drop {
    /// Truncated or contradictory.
    Malformed,
    /// A checksum is wrong.
    Checksum,
    /// For someone else.
    NotForUs,
    /// From an address that no host has.
    BadSource,
    /// An IPv4 fragment.
    Fragment,
    /// Not a protocol of this stack.
    Protocol,
}

/// What [`classify`] knows of this host.
pub(crate) struct Host<'a> {
    /// The hardware address.
    pub(crate) hardware: [u8; 6],
    /// The IP address, if there is one already.
    pub(crate) address: Option<&'a Address>,
    /// Whether answers of DHCP servers are wanted.
    pub(crate) dhcp: bool,
    /// Which checksums to look at.
    pub(crate) duty: ChecksumDuty,
    /// The multicast groups that this host is in.
    #[cfg(feature = "multicast")]
    pub(crate) interface: &'a Interface,
    /// The IPv6 addresses.
    #[cfg(feature = "ipv6")]
    pub(crate) ipv6: &'a crate::ipv6::Ipv6,
}

/// Says whose `frame` is.
pub(crate) fn classify(frame: &[u8], host: &Host<'_>) -> Result<Class, Drop> {
    let (ethernet, packet) = frame
        .split_at_checked(ETHERNET_HEADER)
        .ok_or(Drop::Malformed)?;
    let group = ethernet[0] & 1 != 0;
    if !group && ethernet[..6] != host.hardware {
        return Err(Drop::NotForUs);
    }
    if ethernet[6] & 1 != 0 || ethernet[6..12] == host.hardware {
        return Err(Drop::BadSource);
    }
    match [ethernet[12], ethernet[13]] {
        ETHERTYPE_ARP if packet.len() < 28 => Err(Drop::Malformed),
        ETHERTYPE_ARP => Ok(Class::Arp),
        ETHERTYPE_IPV4 => classify_ipv4(packet, group, host),
        #[cfg(feature = "ipv6")]
        ipv6::ETHERTYPE => ipv6::classify(packet, group, host),
        _ => Err(Drop::Protocol),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn address_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

fn classify_ipv4(packet: &[u8], group: bool, host: &Host<'_>) -> Result<Class, Drop> {
    if packet.len() < IPV4_HEADER || packet[0] >> 4 != 4 {
        return Err(Drop::Malformed);
    }
    let header_length = usize::from(packet[0] & 0x0f) * 4;
    let total_length = usize::from(u16_at(packet, 2));
    if header_length < IPV4_HEADER || total_length < header_length || total_length > packet.len() {
        return Err(Drop::Malformed);
    }
    let (header, payload) = packet[..total_length].split_at(header_length);
    let (from, addresses) = (address_at(header, 12), &header[12..20]);
    if host.duty.verify_ipv4 && checksum::sum(header) != 0xffff {
        return Err(Drop::Checksum);
    }
    // "More fragments" or an offset: RFC 791, 3.1.
    if u16_at(header, 6) & 0x3fff != 0 {
        return Err(Drop::Fragment);
    }
    check_source(from, host)?;

    let destination = address_at(header, 16);
    let ours = host.address.is_some_and(|own| own.address == destination);
    let broadcast = host.address.map_or(destination.is_broadcast(), |own| {
        own.is_broadcast(destination)
    });
    match header[9] {
        // A segment by link-layer broadcast is not for a connection (RFC 1122, 4.2.3.10).
        TCP if ours && !group => {
            let ends = (from.into(), destination.into());
            classify_tcp(ends, addresses, payload, host)
        }
        UDP => {
            let ours = ours || broadcast || host.is_in_group(destination);
            classify_udp(addresses, payload, ours, host)
        }
        // An echo request by broadcast is answered by nobody: it serves to flood its source.
        ICMP if ours && !group => Ok(Class::Icmp),
        TCP | ICMP => Err(Drop::NotForUs),
        #[cfg(feature = "multicast")]
        IGMP if payload.len() < 8 => Err(Drop::Malformed),
        #[cfg(feature = "multicast")]
        IGMP if checksum::sum(payload) != 0xffff => Err(Drop::Checksum),
        #[cfg(feature = "multicast")]
        IGMP => Ok(Class::Membership),
        _ => Err(Drop::Protocol),
    }
}

impl Host<'_> {
    /// Returns whether this host is in a multicast group.
    #[cfg(feature = "multicast")]
    fn is_in_group(&self, address: impl Into<IpAddress>) -> bool {
        let address = address.into();
        address.is_multicast() && self.interface.has_multicast_group(address)
    }

    #[cfg(not(feature = "multicast"))]
    fn is_in_group(&self, _: Ipv4Addr) -> bool {
        false
    }
}

fn check_source(source: Ipv4Addr, host: &Host<'_>) -> Result<(), Drop> {
    let nobody = source.is_unspecified()
        || source.is_multicast()
        || source.is_broadcast()
        || source.is_loopback();
    let us = host
        .address
        .is_some_and(|own| own.address == source || own.is_broadcast(source));
    if nobody || us {
        Err(Drop::BadSource)
    } else {
        Ok(())
    }
}

/// `ends` are who sends it and whom to; `addresses` are the same, as they are in the header.
fn classify_tcp(
    ends: (IpAddress, IpAddress),
    addresses: &[u8],
    segment: &[u8],
    host: &Host<'_>,
) -> Result<Class, Drop> {
    if segment.len() < 20 {
        return Err(Drop::Malformed);
    }
    let header_length = usize::from(segment[12] >> 4) * 4;
    let (source, destination) = (u16_at(segment, 0), u16_at(segment, 2));
    if header_length < 20 || header_length > segment.len() || source == 0 || destination == 0 {
        return Err(Drop::Malformed);
    }
    let flags = segment[13] & (FIN | SYN | RST | ACK);
    // A SYN can carry neither end nor reset, and every other segment acknowledges or resets.
    if flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (SYN | RST | ACK) == 0 {
        return Err(Drop::Malformed);
    }
    if host.duty.verify_tcp && checksum::transport(addresses, TCP, segment) != 0xffff {
        return Err(Drop::Checksum);
    }
    let kind = match flags {
        SYN => Segment::Open,
        _ if flags & RST != 0 => Segment::Reset,
        _ => Segment::Other,
    };
    Ok(Class::Tcp(
        Flow::new((ends.0, source), (ends.1, destination)),
        kind,
    ))
}

fn classify_udp(
    addresses: &[u8],
    datagram: &[u8],
    for_us: bool,
    host: &Host<'_>,
) -> Result<Class, Drop> {
    if datagram.len() < 8 {
        return Err(Drop::Malformed);
    }
    let length = usize::from(u16_at(datagram, 4));
    if length < 8 || length > datagram.len() {
        return Err(Drop::Malformed);
    }
    let (source, destination) = (u16_at(datagram, 0), u16_at(datagram, 2));
    // A DHCP server may address its answer to the address that it is about to give.
    let ipv4 = addresses.len() == 8;
    let dhcp = ipv4 && host.dhcp && source == DHCP_SERVER && destination == DHCP_CLIENT;
    if !for_us && !dhcp {
        return Err(Drop::NotForUs);
    }
    let has_checksum = u16_at(datagram, 6) != 0;
    // IPv6 has no checksum of its own, so UDP's must not be missing (RFC 8200, 8.1).
    if !has_checksum && !ipv4 {
        return Err(Drop::Checksum);
    }
    let datagram = &datagram[..length];
    if host.duty.verify_udp
        && has_checksum
        && checksum::transport(addresses, UDP, datagram) != 0xffff
    {
        return Err(Drop::Checksum);
    }
    match destination {
        _ if dhcp => Ok(Class::Dhcp),
        0 => Err(Drop::Malformed),
        port => Ok(Class::Udp(port, length - 8)),
    }
}
