//! Checksums of TCP and UDP that one side leaves to the other (virtio 1.2, 5.1.6, `VIRTIO_NET_HDR_F_NEEDS_CSUM`; Xen's
//! `io/netif.h`, `csum_blank`).

use crate::{ETHERNET_HEADER, checksum};
use core::ops::Range;

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const IPV6_HEADER: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the parts of an IP packet with TCP or UDP are in a frame.
struct Segment {
    protocol: u8,
    /// Source and destination address.
    addresses: Range<usize>,
    start: usize,
    end: usize,
    /// Offset of the checksum in the frame.
    checksum: usize,
}

/// Finds TCP or UDP in a frame; `None` for everything else, fragments among it: those have no
/// checksum of their own, and nobody leaves one out.
fn segment(frame: &[u8]) -> Option<Segment> {
    match *frame.get(12..14)?.first_chunk()? {
        IPV4 => ipv4_segment(frame),
        IPV6 => ipv6_segment(frame),
        _ => None,
    }
}

fn ipv4_segment(frame: &[u8]) -> Option<Segment> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let header = packet.get(..20)?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragmented = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    if header[0] >> 4 != 4 || fragmented || header_bytes < 20 || total > packet.len() {
        return None;
    }
    let addresses = ETHERNET_HEADER + 12..ETHERNET_HEADER + 20;
    let range = ETHERNET_HEADER + header_bytes..ETHERNET_HEADER + total;
    Segment::new(header[9], addresses, range)
}

/// Only packets without extension headers: our stack takes and sends no others.
fn ipv6_segment(frame: &[u8]) -> Option<Segment> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let header = packet.get(..IPV6_HEADER)?;
    let total = IPV6_HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || total > packet.len() {
        return None;
    }
    let start = ETHERNET_HEADER + IPV6_HEADER;
    let range = start..ETHERNET_HEADER + total;
    Segment::new(header[6], ETHERNET_HEADER + 8..start, range)
}

impl Segment {
    fn new(protocol: u8, addresses: Range<usize>, range: Range<usize>) -> Option<Self> {
        let (field, least) = match protocol {
            TCP => (16, 20),
            UDP => (6, 8),
            _ => return None,
        };
        (range.start + least <= range.end).then_some(Self {
            protocol,
            addresses,
            start: range.start,
            end: range.end,
            checksum: range.start + field,
        })
    }

    /// The checksum over the whole, without what the field has.
    fn sum(&self, frame: &[u8]) -> u16 {
        let addresses = &frame[self.addresses.clone()];
        checksum::transport(addresses, self.protocol, &frame[self.start..self.end])
    }

    fn set(&self, frame: &mut [u8], value: u16) {
        frame[self.checksum..self.checksum + 2].copy_from_slice(&value.to_be_bytes());
    }
}

/// What a device must know to fill in a checksum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Blank {
    /// Where in the frame the sum begins, in bytes: it goes to the end.
    pub start: usize,
    /// Where from there its field is.
    pub field: usize,
}

/// Returns whether the TCP or UDP checksum of a frame is right; true where there is none.
pub fn verify(frame: &[u8]) -> bool {
    let Some(it) = segment(frame) else {
        return true;
    };
    let unused = it.protocol == UDP && frame[it.checksum..it.checksum + 2] == [0, 0];
    unused || it.sum(frame) == 0xffff
}

/// Prepares a TCP frame whose checksum the other side is to fill in: its field gets the sum of the pseudo header. That of
/// other frames is filled in; those of IPv6 are `also` left only where the other side takes them.
pub fn leave_blank(frame: &mut [u8], also_ipv6: bool) -> Option<Blank> {
    let left = |it: &Segment| it.protocol == TCP && (also_ipv6 || frame.get(12..14) == Some(&IPV4));
    let Some(it) = segment(frame).filter(left) else {
        fill(frame);
        return None;
    };
    let length = (it.end - it.start) as u16;
    let pseudo = checksum::add(u16::from(it.protocol), length);
    let sum = checksum::add(checksum::sum(&frame[it.addresses.clone()]), pseudo);
    it.set(frame, sum);
    Some(Blank {
        start: it.start,
        field: it.checksum - it.start,
    })
}

/// Fills in the checksum of a TCP frame. UDP's are the stack's own affair: a DHCP server that reads raw
/// frames wants them whole.
pub fn fill(frame: &mut [u8]) {
    if let Some(it) = segment(frame).filter(|it| it.protocol == TCP) {
        it.set(frame, 0);
        let sum = !it.sum(frame);
        it.set(frame, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A frame of 60 bytes with `protocol` in IPv4, without checksum.
    fn frame(protocol: u8) -> Vec<u8> {
        let mut frame: Vec<u8> = (0..60).collect();
        frame[12..14].copy_from_slice(&IPV4);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 45, 0, 0, 0x40, 0, 64, protocol]);
        frame
    }

    #[test]
    fn a_filled_checksum_is_right_and_a_changed_byte_is_noticed() {
        let mut frame = frame(TCP);
        assert!(!verify(&frame));
        fill(&mut frame);
        assert!(verify(&frame));
        for index in 26..59 {
            frame[index] ^= 0x10;
            assert!(!verify(&frame), "byte {index}");
            frame[index] ^= 0x10;
        }
        frame[59] ^= 1;
        assert!(verify(&frame), "padding is no part of the packet");
    }

    /// A frame of 80 bytes with `protocol` in IPv6, without checksum.
    fn frame_6(protocol: u8) -> Vec<u8> {
        let mut frame: Vec<u8> = (0..80).collect();
        frame[12..14].copy_from_slice(&IPV6);
        frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 25, protocol, 64]);
        frame
    }

    #[test]
    fn checksums_of_ipv6_are_filled_in_here() {
        for finish in [
            |frame: &mut [u8]| fill(frame),
            |frame: &mut [u8]| assert_eq!(leave_blank(frame, false), None),
        ] {
            let mut frame = frame_6(TCP);
            assert!(!verify(&frame));
            finish(&mut frame);
            assert!(verify(&frame));
            for index in 22..79 {
                frame[index] ^= 0x10;
                assert!(!verify(&frame), "byte {index}");
                frame[index] ^= 0x10;
            }
        }
        assert!(!verify(&frame_6(UDP)));
        assert!(verify(&frame_6(58)));
    }

    #[test]
    fn a_blank_checksum_is_the_pseudo_headers() {
        let mut blank = frame(TCP);
        let mut filled = frame(TCP);
        let place = leave_blank(&mut blank, false).expect("it is TCP");
        assert_eq!(
            place,
            Blank {
                start: 34,
                field: 16
            }
        );
        fill(&mut filled);
        // What the other side does: sum from the start of TCP on, field included (netif.h).
        let sum = !checksum::sum(&blank[34..59]);
        blank[50..52].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(blank, filled);
        assert_eq!(leave_blank(&mut frame(UDP), true), None);
        assert_eq!(leave_blank(&mut frame(1), true), None);
        let (mut blank, mut filled) = (frame_6(TCP), frame_6(TCP));
        let place = leave_blank(&mut blank, true).expect("it is TCP");
        assert_eq!(
            place,
            Blank {
                start: 54,
                field: 16
            }
        );
        fill(&mut filled);
        let sum = !checksum::sum(&blank[54..79]);
        blank[70..72].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(blank, filled);
    }

    #[test]
    fn a_datagram_may_have_no_checksum() {
        let mut datagram = frame(UDP);
        assert!(!verify(&datagram));
        datagram[40..42].fill(0);
        assert!(verify(&datagram));
    }

    #[test]
    fn frames_of_any_length_and_content_are_looked_at_safely() {
        let mut state = 1_u32;
        for length in 0..200 {
            for round in 0..50 {
                let mut frame: Vec<u8> = (0..length)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 24) as u8
                    })
                    .collect();
                if length > 24 && round % 2 == 0 {
                    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
                    frame[23] = TCP;
                }
                if length > 24 && round % 2 == 1 {
                    frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
                    (frame[18], frame[20]) = (0, TCP);
                }
                verify(&frame);
                leave_blank(&mut frame, round % 3 == 0);
                fill(&mut frame);
            }
        }
    }
}
