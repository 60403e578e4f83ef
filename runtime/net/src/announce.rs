//! Telling the network of this host's address, whenever it or the link is new: an ARP announcement
//! (RFC 5227, 3). Without it, a switch that has never heard of this host sends what is for it to
//! everybody, and neighbours go on asking for whoever had the address before.

use core::task::Context;

use embassy_net_driver::{Driver, TxToken};

use crate::demux::ETHERTYPE_ARP;
use crate::device::Meter;
use crate::stack::Inner;

/// Bytes of an Ethernet frame with an ARP packet.
const LENGTH: usize = 42;

impl Inner {
    /// Sends the announcement that is due, if there is an address and the device has room.
    pub(crate) fn announce<D: Driver>(&mut self, device: &mut D, cx: &mut Context<'_>) {
        let Some(address) = self.address.filter(|_| self.announcement_due) else {
            return;
        };
        // Without room the device wakes this task when it has some.
        let Some(token) = device.transmit(cx) else {
            return;
        };
        self.announcement_due = false;
        let (hardware, address) = (self.hardware, address.address.octets());
        token.consume(LENGTH, |frame| {
            // To everybody: a request for the own address (RFC 826).
            let parts: [&[u8]; 8] = [
                &[0xff; 6],
                &hardware,
                &ETHERTYPE_ARP,
                // Ethernet and IPv4, their addresses of 6 and 4 bytes, a request.
                &[0, 1, 8, 0, 6, 4, 0, 1],
                &hardware,
                &address,
                &[0; 6],
                &address,
            ];
            for (place, byte) in frame.iter_mut().zip(parts.into_iter().flatten()) {
                *place = *byte;
            }
        });
        self.count_sent(Meter {
            frames: 1,
            bytes: LENGTH as u64,
            ..Meter::default()
        });
    }
}
