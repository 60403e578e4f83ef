//! Putting segments of one TCP connection together, as they leave the stack one after the other
//! (virtio 1.2, 5.1.6.2, `VIRTIO_NET_HDR_GSO_TCPV4`; Xen's `io/netif.h`, `XEN_NETIF_EXTRA_TYPE_GSO`).
//!
//! What a frame costs on its way through a host hardly depends on its length. So segments that follow
//! each other go as one frame of up to 64 KiB, with the size into which whoever needs to cuts it
//! again. They are written behind each other, so nothing is copied for it.

use crate::{ETHERNET_HEADER, checksum, transport};
use alloc::{vec, vec::Vec};

/// Bytes of a frame that segments are put together to, at most: IP's length has 16 bits, and so has that of a request to
/// Xen's backend.
pub const LONGEST: usize = 65_535;
/// Bytes of the headers of Ethernet, IPv4 and TCP, at most; those of IPv6 without extensions are shorter.
pub const LONGEST_HEADERS: usize = ETHERNET_HEADER + 60 + 60;

/// TCP's flags (RFC 9293, 3.1).
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A frame that may still grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Train {
    /// Bytes so far.
    pub length: usize,
    /// Bytes of all headers together.
    pub headers: usize,
    /// Where TCP's header begins in the frame.
    tcp: usize,
    /// It is of IPv4, and else of IPv6.
    pub is_ipv4: bool,
    /// Bytes of data of each segment but the last.
    pub mss: u16,
    /// How many there are.
    pub segments: u32,
    /// Of the next segment.
    sequence: u32,
    /// Of the last one.
    flags: u8,
    /// The last segment was shorter, or ended the stream: it stays the last.
    over: bool,
}

impl Train {
    /// Begins with the first segment; `None` for what cannot have another behind it, which are all of IPv6 where those
    /// are not wanted `also`.
    pub fn begin(frame: &[u8], also_ipv6: bool) -> Option<Self> {
        let found = transport::tcp_segment(frame, also_ipv6).filter(|it| it.end == frame.len())?;
        let tcp = &frame[found.start..];
        let headers = found.start + usize::from(tcp[12] >> 4) * 4;
        let flags = tcp[13];
        let mss = u16::try_from(frame.len().checked_sub(headers)?).ok()?;
        // The headers of the next are written over the end of this one's data, for a moment.
        let enough = headers >= found.start + 20 && usize::from(mss) >= LONGEST_HEADERS;
        (enough && flags & !PSH == ACK).then(|| Self {
            length: frame.len(),
            headers,
            tcp: found.start,
            is_ipv4: transport::is_ipv4(frame),
            mss,
            segments: 1,
            sequence: sequence(tcp).wrapping_add(mss.into()),
            flags,
            over: false,
        })
    }

    /// Returns whether a frame of `length` bytes may be the next segment.
    pub fn may_grow_by(&self, length: usize) -> bool {
        let data = length.wrapping_sub(self.headers);
        !self.over && (1..=usize::from(self.mss)).contains(&data) && self.length + data <= LONGEST
    }

    /// Grows by `frame`, for which [`Self::may_grow_by`] says yes, if it is the next segment; `first`
    /// are the headers of the first. Returns whether it was.
    pub fn grow(&mut self, first: &[u8], frame: &[u8]) -> bool {
        let Some((next, _)) = frame.split_at_checked(self.headers) else {
            return false;
        };
        let data = frame.len() - self.headers;
        let (tcp, flags) = (&next[self.tcp..], next[self.tcp + 13]);
        let whole =
            transport::tcp_segment(frame, !self.is_ipv4).is_some_and(|it| it.end == frame.len());
        let same = whole
            && self.is_like(first, next)
            && sequence(tcp) == self.sequence
            && flags & !(PSH | FIN) == ACK;
        if same {
            self.length += data;
            self.segments += 1;
            self.sequence = self.sequence.wrapping_add(data as u32);
            self.flags = flags;
            self.over = data < usize::from(self.mss) || flags & FIN != 0;
        }
        same
    }

    /// Returns whether headers differ only where those of segments of one frame may: IP's length, IPv4's identification
    /// and checksum, TCP's sequence number, flags and checksum.
    fn is_like(&self, first: &[u8], next: &[u8]) -> bool {
        let (ip, tcp) = (ETHERNET_HEADER, self.tcp);
        let same = |range: core::ops::Range<usize>| first.get(range.clone()) == next.get(range);
        let same_ip = match self.is_ipv4 {
            true => same(0..ip + 2) && same(ip + 6..ip + 10) && same(ip + 12..tcp),
            false => same(0..ip + 4) && same(ip + 6..tcp),
        };
        same_ip
            && same(tcp..tcp + 4)
            && same(tcp + 8..tcp + 13)
            && same(tcp + 14..tcp + 16)
            && same(tcp + 18..self.headers)
    }

    /// Makes the headers of the first segment those of the whole `frame`. TCP's checksum is not among
    /// it.
    pub fn finish(&self, frame: &mut [u8]) {
        if self.segments == 1 {
            return;
        }
        let (ip, tcp) = frame[ETHERNET_HEADER..].split_at_mut(self.tcp - ETHERNET_HEADER);
        if self.is_ipv4 {
            let total = (self.length - ETHERNET_HEADER) as u16;
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[10..12].fill(0);
            let sum = !checksum::sum(ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            let payload = (self.length - self.tcp) as u16;
            ip[4..6].copy_from_slice(&payload.to_be_bytes());
        }
        tcp[13] = self.flags;
    }
}

/// A device's buffers, into which frames are written one after the other, segments behind each other where they are of one
/// train.
pub trait Outlet {
    /// Returns whether trains of IPv6 are taken, too.
    fn takes_ipv6(&self) -> bool;

    /// The train that is not on its way yet, and the buffer that it is in.
    fn growing(&mut self) -> &mut Option<(u16, Train)>;

    /// Returns a buffer of [`LONGEST`] bytes for a frame of `length` bytes that may begin a train, if there is one and it
    /// pays.
    fn long_buffer(&mut self, length: usize) -> Option<u16>;

    /// Returns a buffer for a frame of `length` bytes; `None` when there is none, or none so long.
    fn short_buffer(&mut self, length: usize) -> Option<u16>;

    /// The bytes of a buffer, as many at least as it was asked for.
    fn bytes(&mut self, buffer: u16) -> &mut [u8];

    /// Hands a frame of `length` bytes over to the device; `train` says how it is to be cut.
    fn push(&mut self, buffer: u16, length: usize, train: Option<&Train>);

    /// Counts a frame that was written to a buffer, or to none.
    fn count(&mut self, written: bool);

    /// Sends a frame of `length` bytes that `write` writes. It may stay here until [`Self::flush`]; one for which there is
    /// no buffer is written nowhere near the device, and counted.
    fn send<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        match self.growing().take() {
            Some((buffer, train)) if train.may_grow_by(length) => {
                self.send_behind(buffer, train, length, write)
            }
            growing => {
                *self.growing() = growing;
                self.flush();
                self.send_first(length, write)
            }
        }
    }

    /// Hands the train that still grew over to the device.
    fn flush(&mut self) {
        if let Some((buffer, train)) = self.growing().take() {
            train.finish(&mut self.bytes(buffer)[..train.length]);
            self.push(
                buffer,
                train.length,
                Some(&train).filter(|it| it.segments > 1),
            );
        }
    }

    /// Sends a frame that does not belong to what was before.
    fn send_first<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let long = self.long_buffer(length);
        let Some(buffer) = long.or_else(|| self.short_buffer(length)) else {
            self.count(false);
            return write(&mut vec![0; length]);
        };
        let also_ipv6 = self.takes_ipv6();
        let frame = &mut self.bytes(buffer)[..length];
        let result = write(frame);
        let train = long.and_then(|_| Train::begin(frame, also_ipv6));
        self.count(true);
        match train {
            Some(train) => *self.growing() = Some((buffer, train)),
            None => self.push(buffer, length, None),
        }
        result
    }

    /// Has a segment written behind those that are there. Its headers come over the end of the data before, which is put
    /// back then.
    fn send_behind<R>(
        &mut self,
        buffer: u16,
        mut train: Train,
        length: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let (at, headers) = (train.length - train.headers, train.headers);
        let (first, next) = self.bytes(buffer).split_at_mut(at);
        let next = &mut next[..length];
        let mut covered = [0; LONGEST_HEADERS];
        let covered = &mut covered[..headers];
        covered.copy_from_slice(&next[..headers]);
        let result = write(next);
        let grown = train.grow(&first[..headers], next);
        let other = if grown { Vec::new() } else { next.to_vec() };
        next[..headers].copy_from_slice(covered);
        *self.growing() = Some((buffer, train));
        if grown {
            self.count(true);
        } else {
            self.flush();
            self.send_first(length, |frame| frame.copy_from_slice(&other));
        }
        result
    }
}

fn sequence(tcp: &[u8]) -> u32 {
    u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])
}
