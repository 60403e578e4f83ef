//! What a script's peers say: frames that are right but for what the script changes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::Unstructured;

use super::frames::{self, ETHERNET, ICMP, ICMP_6, TCP, UDP};
use super::{MAC, OWN, OWN_6, TCP_PORT, UDP_PORT, byte, word};

/// What the stack said last is kept, to be turned round.
const KEPT: usize = 16;

/// A connection as its peer knows it.
#[derive(Clone, Copy)]
struct Flow {
    ends: (IpAddr, IpAddr),
    ports: (u16, u16),
    /// What the stack waits for, and what the peer does.
    numbers: (u32, u32),
}

/// Everybody on the network but the stack.
#[derive(Default)]
pub(super) struct Peer {
    flows: Vec<Flow>,
    heard: Vec<Vec<u8>>,
    /// The last that the stack asked a DHCP server.
    asked: Vec<u8>,
}

fn mac(peer: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, peer]
}

/// Returns the addresses of a peer and of the stack, mostly: one in eight is odd.
fn ends(choice: u8) -> (IpAddr, IpAddr) {
    let peer = 2 + (choice & 3);
    let odd: [Ipv4Addr; 4] = [
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(10, 1, 255, 255),
        Ipv4Addr::UNSPECIFIED,
    ];
    let odd_6 = [
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1),
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1),
    ];
    let other = Ipv4Addr::new(10, 1, 0, peer);
    let other_6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, peer.into());
    let near_6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, peer.into());
    let index = usize::from(choice & 3);
    match choice >> 3 {
        0..=12 => (other.into(), OWN.into()),
        13..=24 => (other_6.into(), OWN_6.into()),
        25 => (near_6.into(), odd_6[index].into()),
        26 => (near_6.into(), odd_6[3].into()),
        27 => (other.into(), odd[index].into()),
        28 => (odd[index].into(), OWN.into()),
        29 => (other_6.into(), odd_6[index].into()),
        30 => (odd_6[index].into(), OWN_6.into()),
        _ => (OWN.into(), OWN.into()),
    }
}

fn take<'a>(script: &mut Unstructured<'a>, most: usize) -> &'a [u8] {
    let length = usize::from(byte(script)).min(most).min(script.len());
    script.bytes(length).unwrap_or_default()
}

/// Returns a number that is near `base`, or any.
fn near(script: &mut Unstructured<'_>, base: u32) -> u32 {
    match byte(script) {
        0..=159 => base,
        160..=199 => base.wrapping_add(word(script).into()),
        200..=239 => base.wrapping_sub(word(script).into()),
        240..=247 => base.wrapping_add(1 << 31),
        _ => u32::from(word(script)) << 16,
    }
}

impl Peer {
    /// Returns a packet of any protocol.
    pub(super) fn packet(&self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let ends = ends(byte(script));
        let protocol = match byte(script) % 8 {
            0 => ICMP,
            1 => TCP,
            2 => UDP,
            3 => ICMP_6,
            4 => 2,
            // Hop-by-hop options, fragments.
            5 => 0,
            6 => 44,
            _ => byte(script),
        };
        let (place, value) = (byte(script), byte(script));
        let payload = take(script, 255);
        let mut frame = frames::packet((MAC, mac(2)), ends, protocol, payload);
        if place & 1 != 0 {
            // A header's byte: lengths, fragments, options.
            let at = (ETHERNET + usize::from(place >> 1) % 40).min(frame.len() - 1);
            frame[at] = value;
            frames::repair(&mut frame);
        }
        frame
    }

    /// Returns a segment of a connection that there is, or of none.
    pub(super) fn segment(&mut self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let Some(count) = self.flows.len().checked_sub(1) else {
            return self.connects(script);
        };
        let flow = self.flows[usize::from(byte(script)).min(count)];
        const FLAGS: [u8; 8] = [0x10, 0x18, 0x11, 0x14, 0x04, 0x12, 0x02, 0];
        let choice = byte(script);
        let flags = match choice {
            0..=7 => FLAGS[usize::from(choice)],
            8..=191 => FLAGS[usize::from(choice & 1)],
            _ => choice,
        };
        let numbers = (near(script, flow.numbers.0), near(script, flow.numbers.1));
        let window = word(script);
        let options = match choice & 0x20 {
            0 => &[][..],
            _ => take(script, 40),
        };
        let length = match byte(script) {
            0..=99 => 0,
            100..=199 => usize::from(word(script)) % 1461,
            200..=249 => usize::from(byte(script)),
            // Several that a device has put together.
            _ => usize::from(word(script)) % 60_000,
        };
        let data: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let segment = frames::tcp(flow.ports, numbers, flags, window, options, &data);
        frames::packet((MAC, mac(2)), flow.ends, TCP, &segment)
    }

    /// Returns a SYN.
    pub(super) fn connects(&mut self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let ends = ends(byte(script));
        let port = match byte(script) {
            0..=249 => TCP_PORT,
            _ => word(script),
        };
        let ports = (1000 + u16::from(byte(script)), port);
        let options: &[u8] = match byte(script) {
            0..=63 => &[],
            64..=127 => &[2, 4, 5, 0xb4, 1, 3, 3, 14, 4, 2],
            128..=191 => &[2, 4, 0, 1, 3, 3, 0],
            _ => take(script, 40),
        };
        let window = word(script);
        let segment = frames::tcp(ports, (7000, 0), 2, window, options, &[]);
        self.remember(Flow {
            ends,
            ports,
            numbers: (7001, 0),
        });
        frames::packet((MAC, mac(2)), ends, TCP, &segment)
    }

    fn remember(&mut self, flow: Flow) {
        self.flows
            .retain(|it| (it.ends, it.ports) != (flow.ends, flow.ports));
        self.flows.insert(0, flow);
        self.flows.truncate(64);
    }

    /// Returns something that the stack said, turned round, with a few bytes changed.
    pub(super) fn echoes(&self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let index = usize::from(byte(script)) % self.heard.len().max(1);
        let Some(mut frame) = self.heard.get(index).cloned() else {
            return self.packet(script);
        };
        let how = byte(script);
        if how & 1 == 0 {
            swap(&mut frame, 0, 6, 6);
            match frames::parts(&frame) {
                Some((start, protocol, addresses)) => {
                    let half = addresses.len() / 2;
                    swap(&mut frame, addresses.start, addresses.start + half, half);
                    if matches!(protocol, TCP | UDP) && frame.len() >= start + 4 {
                        swap(&mut frame, start, start + 2, 2);
                    }
                }
                // ARP's sender and target.
                None if frame.len() >= 42 => swap(&mut frame, 22, 32, 10),
                None => {}
            }
        }
        for _ in 0..how >> 1 & 7 {
            let at = usize::from(byte(script)) % frame.len();
            frame[at] = byte(script);
        }
        if how & 0x10 != 0 {
            frame.truncate(usize::from(word(script)) % (frame.len() + 1));
        }
        if how & 0x20 == 0 {
            frames::repair(&mut frame);
        }
        frame
    }

    /// Returns an ARP message.
    pub(super) fn introduces_itself(&self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let (operation, target) = (byte(script), byte(script));
        let from = Ipv4Addr::new(10, 1, byte(script) & 1, byte(script));
        arp(operation % 4, mac(byte(script)), from, target)
    }

    /// Returns a datagram.
    pub(super) fn datagram(&self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let ends = ends(byte(script));
        let ports = match byte(script) {
            0..=199 => (2000, UDP_PORT),
            200..=229 => (67, 68),
            _ => (word(script), word(script)),
        };
        let data = take(script, 255);
        frames::packet((MAC, mac(2)), ends, UDP, &frames::udp(ports, data))
    }

    /// Returns a message of ICMP, of neighbour discovery or about groups.
    pub(super) fn control_message(&self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let ends = ends(byte(script));
        let protocol = match ends.0 {
            IpAddr::V4(_) if byte(script) & 1 == 0 => ICMP,
            IpAddr::V4(_) => 2,
            IpAddr::V6(_) => ICMP_6,
        };
        let mut message = match byte(script) {
            choice @ 0..=127 => vec![128 + choice % 16, 0, 0, 0],
            choice => vec![choice & 15, choice >> 4 & 3, 0, 0],
        };
        message.extend(take(script, 255));
        frames::packet((MAC, mac(2)), ends, protocol, &message)
    }

    /// Returns what a DHCP server might answer the last question.
    pub(super) fn leases(&self, script: &mut Unstructured<'_>) -> Vec<u8> {
        let mut message = self.asked.clone();
        if message.len() < 240 {
            return self.datagram(script);
        }
        message.truncate(240);
        message[0] = 2;
        message[16..20].copy_from_slice(&[10, 1, 0, byte(script)]);
        let kind = [2, 5, 6, byte(script)][usize::from(byte(script) & 3)];
        let server = [53, 1, kind, 54, 4, 10, 1, 0, 2, 1, 4, 255, 255, 0, 0];
        message.extend(server);
        message.extend(take(script, 255));
        message.push(255);
        let ends = (
            Ipv4Addr::new(10, 1, 0, 2).into(),
            Ipv4Addr::BROADCAST.into(),
        );
        frames::packet(
            ([255; 6], mac(2)),
            ends,
            UDP,
            &frames::udp((67, 68), &message),
        )
    }

    /// Takes note of a frame of the stack; returns what an honest neighbour answers.
    pub(super) fn sees(&mut self, frame: Vec<u8>) -> Option<Vec<u8>> {
        let answer = match frame[12..14] {
            [8, 6] => is_asked_4(&frame),
            _ => is_asked_6(&frame),
        };
        self.learn(&frame);
        self.heard.insert(0, frame);
        self.heard.truncate(KEPT);
        answer
    }

    fn learn(&mut self, frame: &[u8]) -> Option<()> {
        let (start, protocol, addresses) = frames::parts(frame)?;
        let payload = frame.get(start..)?;
        let half =
            |at: u16| u16::from_be_bytes([payload[usize::from(at)], payload[usize::from(at) + 1]]);
        if protocol == UDP && payload.len() > 8 && half(2) == 67 {
            self.asked = payload[8..].to_vec();
        }
        if protocol != TCP || payload.len() < 20 {
            return None;
        }
        assert!(
            landfall_offload::transport::verify(frame),
            "a wrong checksum"
        );
        let number = |at| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        let ports = (half(2), half(0));
        let (from, to) = frame[addresses.clone()].split_at(addresses.len() / 2);
        let ends = (address(to)?, address(from)?);
        let flags = payload[13];
        let is_v4 = frame[12] == 8;
        let total = match is_v4 {
            true => usize::from(u16::from_be_bytes([frame[16], frame[17]])) + ETHERNET,
            false => frame.len(),
        };
        let length = total.saturating_sub(start + usize::from(payload[12] >> 4) * 4) as u32;
        let end = length + u32::from(flags & 1) + u32::from(flags >> 1 & 1);
        let acknowledged = if flags & 0x10 != 0 { number(8) } else { 9000 };
        self.remember(Flow {
            ends,
            ports,
            numbers: (acknowledged, number(4).wrapping_add(end)),
        });
        Some(())
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn swap(frame: &mut [u8], one: usize, other: usize, length: usize) {
    for at in 0..length {
        frame.swap(one + at, other + at);
    }
}

fn arp(operation: u8, hardware: [u8; 6], from: Ipv4Addr, target: u8) -> Vec<u8> {
    let mut frame = [MAC, hardware].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(hardware);
    frame.extend(from.octets());
    frame.extend(MAC);
    frame.extend([10, 1, 0, target]);
    frame
}

/// Answers who asks for one of the few neighbours.
fn is_asked_4(frame: &[u8]) -> Option<Vec<u8>> {
    let wanted = frame.get(38..42)?;
    let is_peer = wanted[..3] == [10, 1, 0] && (2..6).contains(&wanted[3]);
    let from = Ipv4Addr::new(10, 1, 0, wanted[3]);
    (is_peer && frame[21] == 1).then(|| arp(2, mac(wanted[3]), from, 1))
}

/// The same by neighbour discovery (RFC 4861, 4.3 and 4.4).
fn is_asked_6(frame: &[u8]) -> Option<Vec<u8>> {
    let (start, protocol, _) = frames::parts(frame)?;
    let message = frame.get(start..)?;
    if protocol != ICMP_6 || message.len() < 24 || message[0] != 135 || frame[37] == 0 {
        return None;
    }
    let wanted: [u8; 16] = message[8..24].try_into().ok()?;
    let asker: [u8; 16] = frame[22..38].try_into().ok()?;
    if !(2..6).contains(&wanted[15]) {
        return None;
    }
    let mut answer = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    answer.extend(wanted);
    answer.extend([2, 1]);
    answer.extend(mac(wanted[15]));
    let ends = (wanted.into(), asker.into());
    Some(frames::packet(
        (MAC, mac(wanted[15])),
        ends,
        ICMP_6,
        &answer,
    ))
}
