//! ARP by this host's own hand (RFC 826): it announces its address whenever that or the link is new (RFC 5227, 3), and
//! asks for a neighbour that it wants to open a connection to.
//!
//! Without the announcement, a switch that has never heard of this host sends what is for it to
//! everybody, and neighbours go on asking for whoever had the address before.

use core::net::Ipv4Addr;
use core::task::Context;

use embassy_net_driver::{Driver, TxToken};

use crate::demux::ETHERTYPE_ARP;
use crate::device::Meter;
use crate::stack::Inner;

/// Bytes of an Ethernet frame with an ARP packet.
const LENGTH: usize = 42;

/// Asks everybody for the hardware address of `target`; `None` while the device has no room, which wakes the task when it
/// has.
pub(crate) fn ask<D: Driver>(
    hardware: [u8; 6],
    own: Ipv4Addr,
    target: Ipv4Addr,
    device: &mut D,
    cx: &mut Context<'_>,
) -> Option<Meter> {
    device.transmit(cx)?.consume(LENGTH, |frame| {
        let (own, target) = (own.octets(), target.octets());
        let parts: [&[u8]; 8] = [
            &[0xff; 6],
            &hardware,
            &ETHERTYPE_ARP,
            // Ethernet and IPv4, their addresses of 6 and 4 bytes, a request.
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &hardware,
            &own,
            &[0; 6],
            &target,
        ];
        for (place, byte) in frame.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
        }
    });
    Some(Meter::one(LENGTH))
}

impl Inner {
    /// Sends the announcement that is due, if there is an address and the device has room: a request for the own address.
    pub(crate) fn announce<D: Driver>(&mut self, device: &mut D, cx: &mut Context<'_>) {
        let Some(own) = self.address.filter(|_| self.announcement_due) else {
            return;
        };
        // Without room the device wakes this task when it has some.
        if let Some(meter) = ask(self.hardware, own.address, own.address, device, cx) {
            self.announcement_due = false;
            self.count_sent(meter);
        }
    }
}
