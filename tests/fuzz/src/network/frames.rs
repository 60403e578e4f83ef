//! Frames: put together, and taken apart as far as a peer has to.

use core::net::IpAddr;

use landfall_offload::checksum;

/// Protocol numbers.
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP_6: u8 = 58;

/// Bytes of Ethernet's header.
pub(super) const ETHERNET: usize = 14;

/// Returns a frame of an IP packet with right lengths and checksums.
pub(super) fn packet(
    macs: ([u8; 6], [u8; 6]),
    ends: (IpAddr, IpAddr),
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = [macs.0, macs.1].concat();
    let length = payload.len() as u16;
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + length).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        (from, to) => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, 255]);
            frame.extend(octets(from));
            frame.extend(octets(to));
        }
    }
    frame.extend(payload);
    repair(&mut frame);
    frame
}

/// Where IP's payload is in a frame, as its header says, with its protocol and addresses.
pub(super) fn parts(frame: &[u8]) -> Option<(usize, u8, core::ops::Range<usize>)> {
    let ip = frame.get(ETHERNET..)?;
    match frame[12..14] {
        [8, 0] if ip.len() >= 20 => {
            let header = usize::from(ip[0] & 15) * 4;
            (header >= 20 && ip.len() > header).then_some((ETHERNET + header, ip[9], 26..34))
        }
        [0x86, 0xdd] if ip.len() > 40 => Some((ETHERNET + 40, ip[6], 22..54)),
        _ => None,
    }
}

/// Makes the checksums of a frame right, as far as its lengths allow.
pub(super) fn repair(frame: &mut [u8]) {
    let Some((start, protocol, addresses)) = parts(frame) else {
        return;
    };
    if frame[12] == 8 {
        put(&mut frame[ETHERNET..start], 10, checksum::sum);
    }
    let addresses = frame[addresses].to_vec();
    let whole = |rest: &[u8]| checksum::transport(&addresses, protocol, rest);
    let payload = &mut frame[start..];
    match protocol {
        ICMP | 2 => put(payload, 2, checksum::sum),
        ICMP_6 => put(payload, 2, whole),
        TCP => put(payload, 16, whole),
        UDP => put(payload, 6, whole),
        _ => {}
    }
}

fn put(bytes: &mut [u8], field: usize, sum: impl Fn(&[u8]) -> u16) {
    if bytes.len() < field + 2 {
        return;
    }
    bytes[field..field + 2].fill(0);
    let sum = !sum(bytes);
    bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Returns a TCP header with options and data behind it; the options are filled up to four bytes.
pub(super) fn tcp(
    ports: (u16, u16),
    numbers: (u32, u32),
    flags: u8,
    window: u16,
    options: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let padded = options.len().next_multiple_of(4);
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend(numbers.0.to_be_bytes());
    bytes.extend(numbers.1.to_be_bytes());
    bytes.extend([(5 + padded as u8 / 4) << 4, flags]);
    bytes.extend(window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.extend([0, 0, 0].iter().take(padded - options.len()));
    bytes.extend(data);
    bytes
}

/// Returns a UDP header with data behind it.
pub(super) fn udp(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0; 2]);
    bytes.extend(data);
    bytes
}
