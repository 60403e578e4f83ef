//! The device as smoltcp wants it: one frame at a time, each already looked at by [`crate::demux`].
//!
//! [`OneFrame`] carries one received frame and the right to send one reply; [`Outlet`] only sends.
//! Both count what is sent, note what kind it was, and fill in UDP and TCP checksums.

use core::task::Context;

use embassy_net_driver as driver;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

#[cfg(feature = "ipv6")]
use crate::demux::ipv6;
use crate::demux::{
    ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, FIN, IPV4_HEADER, SYN, TCP, UDP,
};
use landfall_offload::checksum;

/// Which checksums are left to the stack, because the device does not do them.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ChecksumDuty {
    /// Check the header of received IPv4 packets.
    pub(crate) verify_ipv4: bool,
    /// Check received UDP datagrams.
    pub(crate) verify_udp: bool,
    /// Check received TCP segments.
    pub(crate) verify_tcp: bool,
    /// Fill in the checksum of sent UDP datagrams.
    pub(crate) fill_udp: bool,
    /// Fill in the checksum of sent TCP segments.
    pub(crate) fill_tcp: bool,
}

impl ChecksumDuty {
    /// Returns what a device with these capabilities leaves to the stack.
    pub(crate) fn of(capabilities: &driver::ChecksumCapabilities) -> ChecksumDuty {
        use driver::Checksum::{Both, Rx, Tx};
        ChecksumDuty {
            verify_ipv4: matches!(capabilities.ipv4, Both | Rx),
            verify_udp: matches!(capabilities.udp, Both | Rx),
            verify_tcp: matches!(capabilities.tcp, Both | Rx),
            fill_udp: matches!(capabilities.udp, Both | Tx),
            fill_tcp: matches!(capabilities.tcp, Both | Tx),
        }
    }

    /// Fills in the checksum of an Ethernet frame that smoltcp has just written.
    fn fill(self, frame: &mut [u8]) {
        let Some((ethernet, packet)) = frame.split_at_mut_checked(ETHERNET_HEADER) else {
            return;
        };
        // smoltcp sends no options, so the headers have their least length. The protocol's place, and where
        // the addresses begin.
        let (length, protocol, addresses) = match [ethernet[12], ethernet[13]] {
            ETHERTYPE_IPV4 => (IPV4_HEADER, 9, 12),
            #[cfg(feature = "ipv6")]
            ipv6::ETHERTYPE => (ipv6::HEADER, 6, 8),
            _ => return,
        };
        let Some((header, segment)) = packet.split_at_mut_checked(length) else {
            return;
        };
        let (field, protocol) = match header[protocol] {
            UDP if self.fill_udp => (6, UDP),
            TCP if self.fill_tcp => (16, TCP),
            _ => return,
        };
        if segment.len() < field + 2 {
            return;
        }
        segment[field..field + 2].fill(0);
        let mut value = !checksum::transport(&header[addresses..], protocol, segment);
        // A UDP checksum of zero would say that there is none (RFC 768).
        if protocol == UDP && value == 0 {
            value = 0xffff;
        }
        segment[field..field + 2].copy_from_slice(&value.to_be_bytes());
    }
}

/// Returns the device as smoltcp is to see it: with everything checked that the stack checks.
pub(crate) fn capabilities(device: &driver::Capabilities) -> DeviceCapabilities {
    let mut seen = DeviceCapabilities::default();
    seen.medium = Medium::Ethernet;
    // 576 bytes is what every IPv4 host must take (RFC 791); smoltcp subtracts headers unchecked.
    seen.max_transmission_unit = device
        .max_transmission_unit
        .clamp(ETHERNET_HEADER + 576, 65_535);
    seen.max_burst_size = None;
    seen.checksum.ipv4 = match device.checksum.ipv4 {
        driver::Checksum::Both | driver::Checksum::Tx => Checksum::Tx,
        driver::Checksum::Rx | driver::Checksum::None => Checksum::None,
    };
    seen.checksum.udp = Checksum::None;
    seen.checksum.tcp = Checksum::None;
    seen.checksum.icmpv4 = Checksum::Both;
    #[cfg(feature = "ipv6")]
    {
        // Those that are received have been checked.
        seen.checksum.icmpv6 = Checksum::Tx;
    }
    seen
}

/// What was sent through an [`Outlet`] or in reply to a frame.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Meter {
    /// Frames of any kind.
    pub(crate) frames: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How many of them were IPv4; the others asked for a neighbour's hardware address.
    pub(crate) packets: u64,
    /// How often smoltcp had something to send.
    pub(crate) asked: u64,
    /// Behind what was ever sent of the TCP connection that is asked (SND.NXT), as far as it is known.
    pub(crate) sent_to: Option<u32>,
}

impl Meter {
    /// Looks at a frame that smoltcp has just written for a TCP connection.
    ///
    /// After a timeout smoltcp sends again from what is not acknowledged, and forgets that it had sent more. What it only
    /// acknowledges meanwhile then has a number that the peer is beyond, who drops it unread (RFC 9293, 3.10.7.4). Where
    /// both sides send again, neither would ever hear the other. So what takes no place in the sequence gets the number
    /// that it is to have: the next one to be sent.
    fn keep_sequence(&mut self, frame: &mut [u8]) {
        let Some((TCP, segment)) = transport(frame) else {
            return;
        };
        let Some((head, data)) = segment.split_at_mut_checked(20) else {
            return;
        };
        let options = (usize::from(head[12] >> 4) * 4).saturating_sub(20);
        let data = data.len().saturating_sub(options);
        let number = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        // A single byte may be a probe of a window that is shut, which counts only once it is acknowledged.
        let taken = match (data, head[13] & (SYN | FIN)) {
            (0 | 1, flags) => u32::from(flags != 0),
            (length, flags) => length as u32 + u32::from(flags != 0),
        };
        let end = number.wrapping_add(taken);
        match self.sent_to {
            // Numbers wrap: the difference says which is ahead.
            Some(sent_to) if sent_to.wrapping_sub(end) as i32 > 0 => {
                if data == 0 && taken == 0 {
                    head[4..8].copy_from_slice(&sent_to.to_be_bytes());
                }
            }
            _ => self.sent_to = Some(end),
        }
    }
}

/// Returns the protocol in an IP packet that smoltcp has just written, and what is behind IP's header. smoltcp sends no
/// options, so headers have their least length.
fn transport(frame: &mut [u8]) -> Option<(u8, &mut [u8])> {
    let (ethernet, packet) = frame.split_at_mut_checked(ETHERNET_HEADER)?;
    let (length, protocol) = match [ethernet[12], ethernet[13]] {
        ETHERTYPE_IPV4 => (IPV4_HEADER, 9),
        #[cfg(feature = "ipv6")]
        ipv6::ETHERTYPE => (ipv6::HEADER, 6),
        _ => return None,
    };
    let (header, segment) = packet.split_at_mut_checked(length)?;
    Some((header[protocol], segment))
}

/// A frame that was received, and the token to send at most one reply.
pub(crate) struct OneFrame<'a, T> {
    frame: Option<&'a [u8]>,
    reply: Option<T>,
    capabilities: &'a DeviceCapabilities,
    duty: ChecksumDuty,
    /// What was sent in reply.
    pub(crate) meter: Meter,
}

impl<'a, T: driver::TxToken> OneFrame<'a, T> {
    /// Makes a device that will receive `frame`, once.
    pub(crate) fn new(
        frame: &'a [u8],
        reply: T,
        capabilities: &'a DeviceCapabilities,
        duty: ChecksumDuty,
    ) -> Self {
        OneFrame {
            frame: Some(frame),
            reply: Some(reply),
            capabilities,
            duty,
            meter: Meter::default(),
        }
    }
}

impl<T: driver::TxToken> phy::Device for OneFrame<'_, T> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Sending<'b, T>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let frame = self.frame.take()?;
        let token = self.reply.take()?;
        Some((
            Received(frame),
            Sending {
                token,
                duty: self.duty,
                meter: &mut self.meter,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// A received frame on its way into smoltcp.
pub(crate) struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The way out of the device, with the task that is to be woken when it has room again.
pub(crate) struct Outlet<'a, 'c, D> {
    device: &'a mut D,
    context: &'a mut Context<'c>,
    capabilities: &'a DeviceCapabilities,
    duty: ChecksumDuty,
    /// What was sent.
    pub(crate) meter: Meter,
    /// Whether the device had no room.
    pub(crate) full: bool,
}

impl<'a, 'c, D: driver::Driver> Outlet<'a, 'c, D> {
    /// Makes the way out of `device`; `context` is woken when the device has room again.
    pub(crate) fn new(
        device: &'a mut D,
        context: &'a mut Context<'c>,
        capabilities: &'a DeviceCapabilities,
        duty: ChecksumDuty,
    ) -> Self {
        Outlet {
            device,
            context,
            capabilities,
            duty,
            meter: Meter::default(),
            full: false,
        }
    }
}

impl<D: driver::Driver> phy::Device for Outlet<'_, '_, D> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Sending<'b, D::TxToken<'b>>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        let Some(token) = self.device.transmit(self.context) else {
            self.full = true;
            return None;
        };
        self.meter.asked += 1;
        Some(Sending {
            token,
            duty: self.duty,
            meter: &mut self.meter,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// A frame on its way out.
pub(crate) struct Sending<'a, T> {
    token: T,
    duty: ChecksumDuty,
    meter: &'a mut Meter,
}

impl<T: driver::TxToken> phy::TxToken for Sending<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.token.consume(length, |frame| {
            let result = f(frame);
            self.meter.keep_sequence(frame);
            self.duty.fill(frame);
            self.meter.frames += 1;
            self.meter.bytes += length as u64;
            if frame.get(12..14) != Some(&ETHERTYPE_ARP) {
                self.meter.packets += 1;
            }
            result
        })
    }
}
