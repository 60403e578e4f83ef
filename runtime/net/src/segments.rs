//! TCP segments as frames: what this host writes in front of them.

use landfall_tcp::Header;
use smoltcp::wire::IpAddress;

#[cfg(feature = "ipv6")]
use crate::demux::ipv6;
use crate::demux::{ETHERNET_HEADER, ETHERTYPE_IPV4, Flow, IPV4_HEADER, TCP};
use crate::device::{ChecksumDuty, Meter};
use landfall_offload::checksum;
use landfall_offload::segmentation::IpVersion;

/// How many routers a packet may pass (RFC 1700 recommends it, RFC 8504 the same for IPv6).
const HOPS: u8 = 64;
/// IPv4's "don't fragment" (RFC 791, 3.1).
const DONT_FRAGMENT: u8 = 0x40;

/// Where a segment goes and who sends it.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    /// This host's hardware address.
    pub(crate) hardware: [u8; 6],
    /// The hardware address of the next hop.
    pub(crate) hop: [u8; 6],
    /// Both ends of the connection.
    pub(crate) flow: Flow,
    /// The checksums that are left to the stack.
    pub(crate) duty: ChecksumDuty,
}

impl Route {
    /// Of which IP it is.
    pub(crate) fn version(&self) -> IpVersion {
        match self.flow.local() {
            IpAddress::Ipv4(_) => IpVersion::V4,
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(_) => IpVersion::V6,
        }
    }

    /// Bytes in front of a segment.
    pub(crate) fn lead(&self) -> usize {
        match self.flow.local() {
            IpAddress::Ipv4(_) => ETHERNET_HEADER + IPV4_HEADER,
            #[cfg(feature = "ipv6")]
            IpAddress::Ipv6(_) => ETHERNET_HEADER + ipv6::HEADER,
        }
    }

    /// Sends a segment with `length` bytes of data, which `data` writes.
    pub(crate) fn send<T: embassy_net_driver::TxToken>(
        &self,
        token: T,
        header: &Header,
        length: usize,
        data: impl FnOnce(&mut [u8]),
    ) -> Meter {
        let bytes = self.lead() + header.length() + length;
        token.consume(bytes, |frame| self.write(frame, header, data));
        Meter::one(bytes)
    }

    /// Writes a frame with the data that `data` writes.
    pub(crate) fn write(&self, frame: &mut [u8], header: &Header, data: impl FnOnce(&mut [u8])) {
        let (front, segment) = frame.split_at_mut(self.lead());
        let flow = self.flow;
        header.write((flow.local_port(), flow.remote_port()), segment);
        data(&mut segment[header.length()..]);
        let (link, ip) = front.split_at_mut(ETHERNET_HEADER);
        link[..6].copy_from_slice(&self.hop);
        link[6..12].copy_from_slice(&self.hardware);
        let addresses = self.write_ip(&mut link[12..], ip, segment.len());
        if self.duty.fill_tcp {
            let sum = !checksum::transport(&ip[addresses..], TCP, segment);
            segment[16..18].copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Writes the EtherType and IP's header; returns where in that the addresses are.
    fn write_ip(&self, kind: &mut [u8], ip: &mut [u8], length: usize) -> usize {
        match (self.flow.local(), self.flow.remote()) {
            (IpAddress::Ipv4(from), IpAddress::Ipv4(to)) => {
                kind.copy_from_slice(&ETHERTYPE_IPV4);
                // Version and length of the header, no class, the total length, no identification, since nothing is cut
                // (RFC 6864, 4).
                let total = ((IPV4_HEADER + length) as u16).to_be_bytes();
                ip[..8].copy_from_slice(&[0x45, 0, total[0], total[1], 0, 0, DONT_FRAGMENT, 0]);
                ip[8..12].copy_from_slice(&[HOPS, TCP, 0, 0]);
                ip[12..16].copy_from_slice(&from.octets());
                ip[16..20].copy_from_slice(&to.octets());
                if self.duty.fill_ipv4 {
                    let sum = !checksum::sum(ip);
                    ip[10..12].copy_from_slice(&sum.to_be_bytes());
                }
                12
            }
            #[cfg(feature = "ipv6")]
            (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
                kind.copy_from_slice(&ipv6::ETHERTYPE);
                let payload = (length as u16).to_be_bytes();
                ip[..8].copy_from_slice(&[0x60, 0, 0, 0, payload[0], payload[1], TCP, HOPS]);
                ip[8..24].copy_from_slice(&from.octets());
                ip[24..40].copy_from_slice(&to.octets());
                8
            }
            // Both ends of a flow are of one kind.
            #[cfg(feature = "ipv6")]
            _ => 0,
        }
    }
}
