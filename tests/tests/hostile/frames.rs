//! Frames that mean no good: right up to some point, and random from there.

use std::net::Ipv4Addr;

use game_2048::SplitMix64;
use landfall_tests::network::{GUEST, HOST, HOST_MAC, ethernet, ipv4, tcp};

/// The flag of a segment that opens a connection (RFC 9293, 3.1).
pub(crate) const SYN: u8 = 1 << 1;

/// A place on another network, to which the guest's answers go by way of this machine, which drops
/// them: no handshake from there is ever completed or refused.
pub(crate) fn nowhere(random: &mut SplitMix64) -> (Ipv4Addr, u16) {
    let host = 1 + random.below(250) as u8;
    (
        Ipv4Addr::new(198, 51, 100, host),
        1024 + random.below(60_000) as u16,
    )
}

/// Random bytes.
fn noise(random: &mut SplitMix64, length: u32) -> Vec<u8> {
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// A frame that is right up to some point and random from there.
pub(crate) fn frame(random: &mut SplitMix64) -> Vec<u8> {
    const ARP: u16 = 0x0806;
    const IPV4: u16 = 0x0800;
    // No neighbour of the guest's but this machine is who it says; nobody may say he is this machine.
    let neighbour = Ipv4Addr::new(10, 77, 0, 3 + random.below(250) as u8);
    // With the longest headers below, a frame may have 1514 bytes.
    let length = random.below(1460);
    let rest = noise(random, length);
    let short = random.below(64) as usize;
    let mut frame = match random.below(12) {
        0 => noise(random, 14 + length),
        1 => ethernet(random.below(1 << 16) as u16, &rest),
        2 => ethernet(ARP, &rest[..rest.len().min(short)]),
        3 => ethernet(ARP, &arp(random, neighbour)),
        4 => ethernet(IPV4, &rest),
        5 => ethernet(IPV4, &[&[0x45], &rest[..]].concat()),
        6 => ethernet(IPV4, &ipv4(HOST, random.below(256) as u8, &rest)),
        // ICMP, UDP and TCP whose own header is random; then TCP with everything but sense.
        7 => ethernet(
            IPV4,
            &ipv4(HOST, [1, 6, 17][random.below(3) as usize], &rest),
        ),
        8 => ethernet(
            IPV4,
            &ipv4(
                neighbour,
                6,
                &tcp((neighbour, 7), random.below(u32::MAX), SYN, &rest),
            ),
        ),
        9 => {
            let source = nowhere(random);
            let flags = random.below(256) as u8;
            ethernet(
                IPV4,
                &ipv4(
                    source.0,
                    6,
                    &tcp(source, random.below(u32::MAX), flags, &rest),
                ),
            )
        }
        // A DHCP answer that nobody has asked for: UDP from port 67 to 68.
        10 => ethernet(
            IPV4,
            &ipv4(HOST, 17, &[&[0, 67, 0, 68, 1, 0, 0, 0], &rest[..]].concat()),
        ),
        _ => {
            // One bit of a right frame is wrong.
            let source = nowhere(random);
            let mut frame = ethernet(IPV4, &ipv4(source.0, 6, &tcp(source, 1, SYN, &rest)));
            let bit = random.below(54 * 8) as usize;
            frame[bit / 8] ^= 1 << (bit % 8);
            frame
        }
    };
    match random.below(8) {
        // To everybody, to a group, cut short: what a card hands on all the same.
        0 => frame[..6].fill(0xff),
        1 => frame[..6].copy_from_slice(&[0x01, 0x00, 0x5e, 0, 0, 1]),
        2 => frame.truncate(14 + short),
        _ => {}
    }
    frame
}

/// A question or answer by ARP (RFC 826) from a neighbour, with something wrong in one byte.
fn arp(random: &mut SplitMix64, neighbour: Ipv4Addr) -> Vec<u8> {
    let kind = 1 + random.below(2) as u8;
    let start = [0, 1, 8, 0, 6, 4, 0, kind];
    let mut packet = [
        &start[..],
        &HOST_MAC,
        &neighbour.octets(),
        &[0; 6],
        &GUEST.octets(),
    ]
    .concat();
    packet[random.below(8) as usize] ^= random.below(256) as u8;
    packet
}
