//! The Internet checksum (RFC 1071), eight bytes at a time.
//!
//! smoltcp's own takes two bytes at a time; on a CPU that is emulated, or small, summing is the
//! largest single cost of a full frame. The IP stack and the drivers that share the work with their
//! device use this.

/// Up to so many bytes it does not pay to look for where words lie aligned: headers, and their addresses.
const SHORT: usize = 40;

/// Returns the one's complement sum of `data`, not yet complemented.
pub fn sum(data: &[u8]) -> u16 {
    if data.len() <= SHORT {
        return short(data);
    }
    // Words where they lie aligned: the targets' code takes others byte by byte (`strict-align`).
    let (front, words, back) = bytemuck::pod_align_to::<u8, u64>(data);
    let behind = |sum: u16| {
        // Behind an odd number of bytes high and low change places (RFC 1071, 2 B).
        if front.len().is_multiple_of(2) {
            sum
        } else {
            sum.swap_bytes()
        }
    };
    let middle = behind(aligned(words));
    add(add(short(front), middle), behind(short(back)))
}

/// The sum of words in memory order.
fn aligned(words: &[u64]) -> u16 {
    let mut total: u64 = 0;
    // End-around carry: adding the carry back keeps the sum right modulo 2^16 - 1.
    let mut take = |word: u64| {
        let (added, carry) = total.overflowing_add(word);
        total = added + u64::from(carry);
    };
    let (fours, rest) = words.as_chunks::<4>();
    for &[a, b, c, d] in fours {
        take(a);
        take(b);
        take(c);
        take(d);
    }
    rest.iter().copied().for_each(take);
    // A sum in the machine's byte order is the sum in network order with its bytes swapped.
    u16::from_be(fold(total))
}

/// The sum of some bytes, four at a time.
fn short(data: &[u8]) -> u16 {
    let (words, rest) = data.as_chunks::<4>();
    let word = |&word: &[u8; 4]| u64::from(u32::from_be_bytes(word));
    let last = match *rest {
        [] => 0,
        [a] => word(&[a, 0, 0, 0]),
        [a, b] => word(&[a, b, 0, 0]),
        [a, b, c, ..] => word(&[a, b, c, 0]),
    };
    // So few of them do not overflow.
    fold(words.iter().map(word).sum::<u64>() + last)
}

/// Adds what is above the lowest 16 bits to them, until there is nothing.
fn fold(total: u64) -> u16 {
    let folded = (total >> 32) + (total & 0xffff_ffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    ((folded >> 16) + (folded & 0xffff)) as u16
}

/// Returns the one's complement sum of two sums.
pub fn add(a: u16, b: u16) -> u16 {
    let (added, carry) = a.overflowing_add(b);
    added + u16::from(carry)
}

/// Returns the sum over the pseudo header and segment of a UDP or TCP packet.
///
/// `addresses` are the eight bytes of source and destination address.
pub fn transport(addresses: &[u8], protocol: u8, segment: &[u8]) -> u16 {
    let pseudo = add(u16::from(protocol), segment.len() as u16);
    add(add(sum(addresses), pseudo), sum(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, 1, word by word.
    fn plain(data: &[u8]) -> u16 {
        let mut sum: u32 = 0;
        for pair in data.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    #[test]
    fn agrees_with_the_plain_definition() {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        // Bytes of all kinds, and such as carry as often as they can.
        let mut bytes: [fn(u8) -> u8; 3] = [|it| it, |it| 0xff - it % 3, |_| 0xff];
        for bytes in &mut bytes {
            for (length, start) in (0..200).flat_map(|it| (0..8).map(move |start| (it, start))) {
                let memory: std::vec::Vec<u8> =
                    (0..start + length).map(|_| bytes(random())).collect();
                let data = &memory[start..];
                assert_eq!(sum(data), plain(data), "{length} bytes from {start}");
            }
        }
    }

    /// Everything that carries into what was folded before is met by some of these.
    #[test]
    fn few_bytes_of_any_value_are_summed() {
        for length in 0..8 {
            for high in 0..=0xff {
                for low in 0..=0xff {
                    for last in [0, 1, 0xfe, 0xff] {
                        let mut data = [high, low, high, low, high, low, last];
                        data[1] = 0xff - low;
                        let data = &data[..length.min(7)];
                        assert_eq!(short(data), plain(data), "{data:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_of_even_length_add_up_to_the_whole() {
        let data: std::vec::Vec<u8> = (0..=255).cycle().take(600).collect();
        for cut in (0..data.len()).step_by(2) {
            let (front, back) = data.split_at(cut);
            assert_eq!(add(sum(front), sum(back)), sum(&data), "cut at {cut}");
        }
        assert_eq!(add(0xffff, 0xffff), 0xffff, "the carry comes around");
        assert_eq!(add(0x8000, 0x8001), 2);
    }

    /// A datagram whose checksum was worked out by hand, as RFC 768 tells: the words of both addresses,
    /// the protocol, the length and the datagram itself.
    #[test]
    fn the_pseudo_header_is_part_of_the_sum() {
        let addresses = [192, 168, 0, 31, 192, 168, 0, 30];
        let datagram = [0x00, 0x14, 0x00, 0x0a, 0x00, 0x0a, 0, 0, b'H', b'i'];
        // c0a8 + 001f + c0a8 + 001e + 0011 + 000a + 0014 + 000a + 000a + 4869 = 1ca39.
        let sum = transport(&addresses, 17, &datagram);
        assert_eq!(sum, 0xca3a);
        let mut sealed = datagram;
        sealed[6..8].copy_from_slice(&(!sum).to_be_bytes());
        assert_eq!(transport(&addresses, 17, &sealed), 0xffff);
    }
}
