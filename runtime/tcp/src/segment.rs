//! Segments as they are on the wire (RFC 9293, 3.1; RFC 7323, 2.2; RFC 2018, 2 and 3).

use crate::Seq;

/// Bytes of a header without options.
pub(crate) const HEADER: usize = 20;

/// Kinds of options.
const END: u8 = 0;
const NOTHING: u8 = 1;
const MSS: u8 = 2;
const SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;

/// So many ranges of a selective acknowledgement have room beside nothing else.
pub(crate) const SACK_RANGES: usize = 4;

/// Control bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(pub u8);

impl Flags {
    /// The sender has no more data.
    pub const FIN: Flags = Flags(0x01);
    /// The first segment of a direction.
    pub const SYN: Flags = Flags(0x02);
    /// The connection is over.
    pub const RST: Flags = Flags(0x04);
    /// The receiver should not wait for more.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Flags = Flags(0x10);

    /// Returns whether all of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// The options that this stack knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// Bytes of data of a segment that the sender takes, at most.
    pub mss: Option<u16>,
    /// By how many bits the sender's windows are shifted.
    pub scale: Option<u8>,
    /// The sender wants selective acknowledgements.
    pub sack_permitted: bool,
    /// What arrived behind gaps: from the first number up to, not with, the second.
    pub sack: [Option<(Seq, Seq)>; SACK_RANGES],
}

impl Options {
    /// Only about what arrived behind gaps.
    pub(crate) fn of_ranges(sack: [Option<(Seq, Seq)>; SACK_RANGES]) -> Options {
        Options {
            sack,
            ..Options::default()
        }
    }

    fn ranges(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.sack.iter().flatten().copied()
    }

    /// Bytes on the wire, with what fills them up to whole words.
    pub(crate) fn length(&self) -> usize {
        let ranges = self.ranges().count();
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let scale = if self.scale.is_some() { 4 } else { 0 };
        let permitted = if self.sack_permitted { 4 } else { 0 };
        let sack = if ranges > 0 { 4 + 8 * ranges } else { 0 };
        mss + scale + permitted + sack
    }

    /// Reads options; what is unknown or wrong ends them or is skipped, as every stack does.
    fn read(mut bytes: &[u8]) -> Options {
        let mut options = Options::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            if kind == END {
                break;
            }
            if kind == NOTHING {
                bytes = rest;
                continue;
            }
            let Some(length) = rest.first().map(|&length| usize::from(length)) else {
                break;
            };
            let Some((option, others)) = bytes.split_at_checked(length).filter(|_| length >= 2)
            else {
                break;
            };
            options.take(kind, &option[2..]);
            bytes = others;
        }
        options
    }

    fn take(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            // More is to be taken for 14 (RFC 7323, 2.3).
            (SCALE, &[scale]) => self.scale = Some(scale.min(14)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, _) => {
                let (ranges, _) = value.as_chunks::<8>();
                for (place, range) in self.sack.iter_mut().zip(ranges) {
                    let [a, b, c, d, e, f, g, h] = *range;
                    let number = |bytes| Seq(u32::from_be_bytes(bytes));
                    *place = Some((number([a, b, c, d]), number([e, f, g, h])));
                }
            }
            _ => {}
        }
    }

    fn write(&self, mut out: &mut [u8]) {
        let mut put = |bytes: &[u8]| {
            let rest = core::mem::take(&mut out);
            let (now, later) = rest.split_at_mut(bytes.len());
            now.copy_from_slice(bytes);
            out = later;
        };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            put(&[MSS, 4, a, b]);
        }
        if let Some(scale) = self.scale {
            put(&[NOTHING, SCALE, 3, scale]);
        }
        if self.sack_permitted {
            put(&[NOTHING, NOTHING, SACK_PERMITTED, 2]);
        }
        let ranges = self.ranges().count();
        if ranges > 0 {
            put(&[NOTHING, NOTHING, SACK, 2 + 8 * ranges as u8]);
            for (from, to) in self.ranges() {
                put(&from.0.to_be_bytes());
                put(&to.0.to_be_bytes());
            }
        }
    }
}

/// A segment that has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The number of its first byte.
    pub seq: Seq,
    /// What the sender expects next, if [`Flags::ACK`] is set.
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// The window, not yet shifted.
    pub window: u16,
    /// Options.
    pub options: Options,
    /// Data.
    pub data: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads a segment; the checksum is for whoever knows the addresses. `None` where lengths are wrong.
    pub fn read(bytes: &'a [u8]) -> Option<Segment<'a>> {
        let fixed = bytes.first_chunk::<HEADER>()?;
        let header = usize::from(fixed[12] >> 4) * 4;
        let options = bytes.get(HEADER..header)?;
        let data = &bytes[header..];
        let word = |at: usize| [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
        Some(Segment {
            seq: Seq(u32::from_be_bytes(word(4))),
            ack: Seq(u32::from_be_bytes(word(8))),
            flags: Flags(fixed[13]),
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            options: match options {
                [] => Options::default(),
                _ => Options::read(options),
            },
            data,
        })
    }

    /// How many sequence numbers it takes.
    pub fn length(&self) -> u32 {
        let one = |flag| u32::from(self.flags.has(flag));
        self.data.len() as u32 + one(Flags::SYN) + one(Flags::FIN)
    }
}

/// The header of a segment that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The number of the first byte.
    pub seq: Seq,
    /// What is expected next.
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// The window, already shifted.
    pub window: u16,
    /// Options.
    pub options: Options,
}

impl Header {
    /// The reset that answers a segment which belongs to no connection (RFC 9293, 3.5.2); `None` for a reset.
    pub fn refusal(segment: &Segment<'_>) -> Option<Header> {
        if segment.flags.has(Flags::RST) {
            return None;
        }
        let (seq, ack, flags) = match segment.flags.has(Flags::ACK) {
            true => (segment.ack, Seq(0), Flags::RST),
            false => {
                let ack = segment.seq.plus(segment.length());
                (Seq(0), ack, Flags::RST.and(Flags::ACK))
            }
        };
        Some(Header {
            seq,
            ack,
            flags,
            window: 0,
            options: Options::default(),
        })
    }

    /// Bytes of the header with its options.
    pub fn length(&self) -> usize {
        HEADER + self.options.length()
    }

    /// Writes the header into the first [`Self::length`] bytes of `out`, with a checksum of zero.
    pub fn write(&self, ports: (u16, u16), out: &mut [u8]) {
        let length = self.length();
        let out = &mut out[..length];
        out[0..2].copy_from_slice(&ports.0.to_be_bytes());
        out[2..4].copy_from_slice(&ports.1.to_be_bytes());
        out[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        out[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        out[12] = ((length / 4) << 4) as u8;
        out[13] = self.flags.0;
        out[14..16].copy_from_slice(&self.window.to_be_bytes());
        out[16..20].fill(0);
        if length > HEADER {
            self.options.write(&mut out[HEADER..]);
        }
    }
}
