//! Checksums of TCP and UDP that one side leaves to the other (`io/netif.h`, `csum_blank` and
//! `data_validated`).

use landfall_checksum as checksum;

const ETHERNET_HEADER: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the parts of an IPv4 packet with TCP or UDP are in a frame.
pub(super) struct Segment {
    protocol: u8,
    /// Source and destination address.
    addresses: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Offset of the checksum in the frame.
    checksum: usize,
}

/// Finds TCP or UDP in a frame; `None` for everything else, fragments among it: those have no
/// checksum of their own, and nobody leaves one out.
fn segment(frame: &[u8]) -> Option<Segment> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let header = packet.get(..20)?;
    if frame[12..14] != IPV4 || header[0] >> 4 != 4 {
        return None;
    }
    let header_bytes = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragmented = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let (field, least) = match header[9] {
        TCP => (16, 20),
        UDP => (6, 8),
        _ => return None,
    };
    if fragmented || header_bytes < 20 || total > packet.len() || total < header_bytes + least {
        return None;
    }
    let start = ETHERNET_HEADER + header_bytes;
    Some(Segment {
        protocol: header[9],
        addresses: ETHERNET_HEADER + 12,
        start,
        end: ETHERNET_HEADER + total,
        checksum: start + field,
    })
}

/// Finds TCP in a frame.
pub(super) fn tcp_segment(frame: &[u8]) -> Option<Segment> {
    segment(frame).filter(|it| it.protocol == TCP)
}

/// Returns whether the TCP or UDP checksum of a frame is right; true where there is none.
pub(super) fn verify(frame: &[u8]) -> bool {
    let Some(it) = segment(frame) else {
        return true;
    };
    let addresses = &frame[it.addresses..it.addresses + 8];
    let unused = it.protocol == UDP && frame[it.checksum..it.checksum + 2] == [0, 0];
    unused || checksum::transport(addresses, it.protocol, &frame[it.start..it.end]) == 0xffff
}

/// Prepares a TCP frame whose checksum the other side is to fill in: its field gets the sum of the
/// pseudo header. Returns whether it was one.
pub(super) fn leave_blank(frame: &mut [u8]) -> bool {
    set(frame, |it, addresses, frame| {
        let length = (it.end - it.start) as u16;
        let pseudo = checksum::add(u16::from(it.protocol), length);
        let _ = frame;
        checksum::add(checksum::sum(addresses), pseudo)
    })
}

/// Fills in the checksum of a TCP frame.
pub(super) fn fill(frame: &mut [u8]) {
    set(frame, |it, addresses, frame| {
        !checksum::transport(addresses, it.protocol, &frame[it.start..it.end])
    });
}

/// Sets the checksum field of a TCP frame to what `value` makes of it with a field of zero.
fn set(frame: &mut [u8], value: impl Fn(&Segment, &[u8], &[u8]) -> u16) -> bool {
    // UDP's are the stack's own affair: a DHCP server that reads raw frames wants them whole.
    let Some(it) = tcp_segment(frame) else {
        return false;
    };
    frame[it.checksum..it.checksum + 2].fill(0);
    let sum = value(&it, &frame[it.addresses..it.addresses + 8], frame);
    frame[it.checksum..it.checksum + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

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

    #[test]
    fn a_blank_checksum_is_the_pseudo_headers() {
        let mut blank = frame(TCP);
        let mut filled = frame(TCP);
        assert!(leave_blank(&mut blank));
        fill(&mut filled);
        // What the other side does: sum from the start of TCP on, field included (netif.h).
        let sum = !checksum::sum(&blank[34..59]);
        blank[50..52].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(blank, filled);
        assert!(!leave_blank(&mut frame(UDP)));
        assert!(!leave_blank(&mut frame(1)));
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
                verify(&frame);
                leave_blank(&mut frame);
                fill(&mut frame);
            }
        }
    }
}
