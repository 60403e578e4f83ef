//! Telling the network of this host's address, whenever it or the link is new: an ARP announcement
//! (RFC 5227, 3). Without it, a switch that has never heard of this host sends what is for it to
//! everybody, and neighbours go on asking for whoever had the address before.

use core::task::Context;

use embassy_net_driver::{Driver, TxToken};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr,
};

use crate::device::Meter;
use crate::stack::Inner;

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
        let hardware = EthernetAddress(self.hardware);
        let ethernet = EthernetRepr {
            src_addr: hardware,
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        };
        let arp = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: hardware,
            source_protocol_addr: address.address,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: address.address,
        };
        let length = ethernet.buffer_len() + arp.buffer_len();
        token.consume(length, |bytes| {
            let mut frame = EthernetFrame::new_unchecked(bytes);
            ethernet.emit(&mut frame);
            arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        });
        self.count_sent(Meter {
            frames: 1,
            bytes: length as u64,
            ..Meter::default()
        });
    }
}
