//! The part of [`super`] for IPv6 (RFC 8200).
//!
//! Packets with extension headers are dropped, as fragments are: nothing that this stack speaks needs
//! them, but for the query of a multicast router, which has one hop-by-hop header (RFC 3810, 5).

use core::net::Ipv6Addr;

use super::{Class, Drop, ETHERNET_HEADER, Host, TCP, UDP, classify_tcp, classify_udp, u16_at};
use landfall_offload::checksum;

/// EtherType of IPv6.
pub(crate) const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
/// Length of an IPv6 header.
pub(crate) const HEADER: usize = 40;
/// Next header: hop-by-hop options.
const HOP_BY_HOP: u8 = 0;
/// Next header: fragment.
const FRAGMENT: u8 = 44;
/// Next header: ICMPv6.
pub(crate) const ICMP: u8 = 58;

/// Types of ICMPv6 messages (RFC 4443, RFC 4861, RFC 2710).
const ECHO_REQUEST: u8 = 128;
const GROUP_QUERY: u8 = 130;
const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
pub(crate) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// Of what comes from a neighbour, which no router has passed on (RFC 4861, 6.1 and 7.1).
const FROM_THE_LINK: u8 = 255;

/// An IPv6 header whose lengths have been checked.
struct Packet<'a> {
    next_header: u8,
    hop_limit: u8,
    from: Ipv6Addr,
    to: Ipv6Addr,
    /// Both addresses, as they are in the header.
    addresses: &'a [u8],
    payload: &'a [u8],
}

/// Returns the address at `at`, where there are 16 bytes.
pub(crate) fn address_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets = bytes.get(at..at + 16)?.first_chunk::<16>()?;
    Some(Ipv6Addr::from(*octets))
}

impl<'a> Packet<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        let (header, rest) = packet.split_at_checked(HEADER)?;
        let payload = rest.get(..usize::from(u16_at(header, 4)))?;
        (header[0] >> 4 == 6).then_some(())?;
        Some(Packet {
            next_header: header[6],
            hop_limit: header[7],
            from: address_at(header, 8)?,
            to: address_at(header, 24)?,
            addresses: &header[8..],
            payload,
        })
    }
}

/// Says whose an IPv6 packet is.
pub(super) fn classify(packet: &[u8], group: bool, host: &Host<'_>) -> Result<Class, Drop> {
    let packet = Packet::read(packet).ok_or(Drop::Malformed)?;
    check_source(&packet, host)?;
    let ours = host.ipv6.has(packet.to);
    match packet.next_header {
        TCP if ours && !group => {
            let ends = (packet.from.into(), packet.to.into());
            classify_tcp(ends, packet.addresses, packet.payload, host).map(|flow| {
                let start = ETHERNET_HEADER + HEADER;
                Class::Tcp(flow, start, start + packet.payload.len())
            })
        }
        UDP => {
            let ours = ours || host.is_in_group(packet.to);
            classify_udp(packet.addresses, packet.payload, ours, host)
        }
        ICMP => classify_icmp(&packet, ours && !group, host),
        HOP_BY_HOP => classify_query(&packet),
        TCP => Err(Drop::NotForUs),
        FRAGMENT => Err(Drop::Fragment),
        _ => Err(Drop::Protocol),
    }
}

/// Only a neighbour that asks whether its own address is taken has none (RFC 4862, 5.4.2).
fn check_source(packet: &Packet<'_>, host: &Host<'_>) -> Result<(), Drop> {
    let from = packet.from;
    let asks =
        packet.next_header == ICMP && packet.payload.first() == Some(&NEIGHBOUR_SOLICITATION);
    let nobody = from.is_multicast()
        || from.is_loopback()
        || from.to_ipv4_mapped().is_some()
        || from.is_unspecified() && !asks;
    if nobody || host.ipv6.has(from) {
        return Err(Drop::BadSource);
    }
    Ok(())
}

fn classify_icmp(packet: &Packet<'_>, ours: bool, host: &Host<'_>) -> Result<Class, Drop> {
    let message = packet.payload;
    if message.len() < 8 {
        return Err(Drop::Malformed);
    }
    if checksum::transport(packet.addresses, ICMP, message) != 0xffff {
        return Err(Drop::Checksum);
    }
    match message[0] {
        ECHO_REQUEST if ours => Ok(Class::Icmp),
        ROUTER_ADVERTISEMENT => neighbourly(packet, 16)
            .filter(|_| packet.from.is_unicast_link_local())
            .map(|()| Class::Router)
            .ok_or(Drop::Malformed),
        NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => classify_neighbour(packet, host),
        ECHO_REQUEST => Err(Drop::NotForUs),
        _ => Err(Drop::Protocol),
    }
}

fn classify_neighbour(packet: &Packet<'_>, host: &Host<'_>) -> Result<Class, Drop> {
    let message = packet.payload;
    neighbourly(packet, 24).ok_or(Drop::Malformed)?;
    let target = address_at(message, 8).ok_or(Drop::Malformed)?;
    if target.is_multicast() || target.is_unspecified() {
        return Err(Drop::Malformed);
    }
    let asks = message[0] == NEIGHBOUR_SOLICITATION;
    // Who has no address yet cannot tell of its hardware address (RFC 4861, 7.1.1).
    if packet.from.is_unspecified() && message.len() > 24 {
        return Err(Drop::Malformed);
    }
    let concerns_us = host.ipv6.knows(target);
    match asks && !concerns_us {
        true => Err(Drop::NotForUs),
        false => Ok(Class::Neighbour),
    }
}

/// Checks what all messages of neighbour discovery have in common, `fixed` bytes and then options:
/// never from another network, and no option without length (RFC 4861, 4.6).
fn neighbourly(packet: &Packet<'_>, fixed: usize) -> Option<()> {
    let message = packet.payload;
    let (head, mut options) = message.split_at_checked(fixed)?;
    (packet.hop_limit == FROM_THE_LINK && head[1] == 0).then_some(())?;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        (length > 0).then_some(())?;
        options = options.get(length..)?;
    }
    Some(())
}

/// The one packet with an extension header that is let in: one of 8 bytes, then the query.
fn classify_query(packet: &Packet<'_>) -> Result<Class, Drop> {
    let (options, message) = packet.payload.split_at_checked(8).ok_or(Drop::Malformed)?;
    if options[..2] != [ICMP, 0] || message.first() != Some(&GROUP_QUERY) {
        return Err(Drop::Protocol);
    }
    if message.len() < 28 {
        return Err(Drop::Malformed);
    }
    match checksum::transport(packet.addresses, ICMP, message) {
        0xffff => Ok(Class::Membership),
        _ => Err(Drop::Checksum),
    }
}
