//! The device as smoltcp wants it: one frame at a time, each already looked at by [`crate::demux`].
//!
//! [`OneFrame`] carries one received frame and the right to send one reply; [`Outlet`] only sends.
//! Both count what is sent, note what kind it was, and fill in UDP checksums. TCP is not smoltcp's
//! ([`crate::segments`]).

use core::task::Context;

use embassy_net_driver as driver;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

#[cfg(feature = "ipv6")]
use crate::demux::ipv6;
use crate::demux::{ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, IPV4_HEADER, UDP};
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
    /// Fill in the checksum of the headers of sent IPv4 packets.
    pub(crate) fill_ipv4: bool,
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
            fill_ipv4: matches!(capabilities.ipv4, Both | Tx),
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
        if header[protocol] != UDP || !self.fill_udp || segment.len() < 8 {
            return;
        }
        segment[6..8].fill(0);
        // A checksum of zero would say that there is none (RFC 768).
        let value = match !checksum::transport(&header[addresses..], UDP, segment) {
            0 => 0xffff,
            value => value,
        };
        segment[6..8].copy_from_slice(&value.to_be_bytes());
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
}

impl Meter {
    /// One frame of so many bytes that this stack wrote by itself.
    pub(crate) fn one(bytes: usize) -> Meter {
        Meter {
            frames: 1,
            bytes: bytes as u64,
            ..Meter::default()
        }
    }
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
