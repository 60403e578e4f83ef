//! Multicast groups of IPv4, and what routers are told of them.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::vec::Vec;

use edge_nal::{MulticastV4, UdpReceive, UdpSend};

use super::wire::{Faults, Wire};
use super::{Pair, SERVER, clock};
use crate::Error;
use landfall_offload::checksum;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

/// Types and groups of what a record has of IGMP.
fn reports(record: &[Vec<u8>]) -> Vec<(u8, Ipv4Addr)> {
    let messages = record
        .iter()
        .filter(|it| it[12..14] == [8, 0] && it[23] == 2);
    let group = |it: &[u8]| Ipv4Addr::new(it[38], it[39], it[40], it[41]);
    messages.map(|it| (it[34], group(it))).collect()
}

/// A router's question who is in which group.
fn question(tenths: u8) -> Vec<u8> {
    let mut frame = std::vec![1, 0, 0x5e, 0, 0, 1];
    frame.extend(Wire::hardware(1));
    frame.extend([
        8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 1, 2, 0, 0, 10, 1, 0, 2, 224, 0, 0, 1,
    ]);
    frame.extend([0x11, tenths, 0, 0, 0, 0, 0, 0]);
    let sum = !checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let sum = !checksum::sum(&frame[34..]);
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn members_get_what_is_for_the_group_and_routers_hear_of_them() {
    let pair = Pair::new(Faults::default());
    let (server, client, wire) = (pair.server.clone(), pair.client.clone(), pair.wire.clone());
    pair.world.run(async move {
        let mut member = server.bind_udp(5353).unwrap();
        let mut second = server.bind_udp(5354).unwrap();
        let mut sender = client.bind_udp(9).unwrap();
        let to: SocketAddr = (GROUP, 5353).into();
        sender.send(to, b"nobody there").await.unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(server.counters().dropped_not_for_us, 1);

        wire.record();
        member.join_v4(GROUP, Ipv4Addr::UNSPECIFIED).await.unwrap();
        second.join_v4(GROUP, Ipv4Addr::UNSPECIFIED).await.unwrap();
        second.join_v4(OTHER, Ipv4Addr::UNSPECIFIED).await.unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(reports(&wire.recorded()), [(0x16, GROUP), (0x16, OTHER)]);
        sender.send(to, b"hello").await.unwrap();
        let mut data = [0; 32];
        let (length, from) = member.receive(&mut data).await.unwrap();
        assert_eq!((&data[..length], from.port()), (&b"hello"[..], 9));

        // A router asks; the answers come in its time, each once.
        wire.record();
        wire.inject(0, &question(20));
        clock::sleep_ms(30_000).await;
        let mut answers = reports(&wire.recorded());
        answers.sort_unstable();
        assert_eq!(answers, [(0x16, GROUP), (0x16, OTHER)]);

        // The group is left with its last member.
        wire.record();
        drop(second);
        clock::sleep_ms(10).await;
        assert_eq!(reports(&wire.recorded()), [(0x17, OTHER)]);
        wire.record();
        member.leave_v4(GROUP, Ipv4Addr::UNSPECIFIED).await.unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(reports(&wire.recorded()), [(0x17, GROUP)]);
        sender.send(to, b"gone?").await.unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(server.counters().dropped_not_for_us, 2);
    });
}

/// Without an address there is nobody to report it from; the report is made up for.
#[test]
fn a_group_that_was_joined_early_is_reported_late() {
    let pair = Pair::new(Faults::default());
    let (server, wire) = (pair.server.clone(), pair.wire.clone());
    pair.world.run(async move {
        let own = server.address();
        server.with(|inner| inner.set_address(None));
        wire.record();
        let member = server.bind_udp(5353).unwrap();
        member.join(GROUP.into()).unwrap();
        clock::sleep_ms(10).await;
        assert_eq!(reports(&wire.recorded()), []);
        wire.record();
        server.with(|inner| inner.set_address(own));
        clock::sleep_ms(10).await;
        assert_eq!(reports(&wire.recorded()), [(0x16, GROUP)]);
    });
}

#[test]
fn what_is_no_group_is_refused_and_there_is_an_end_to_groups() {
    let pair = Pair::new(Faults::default());
    let server = pair.server.clone();
    pair.world.run(async move {
        let member = server.bind_udp(5353).unwrap();
        assert_eq!(
            member.join(SERVER.into()),
            Err(Error::InvalidAddress((SERVER, 5353).into()))
        );
        let groups = (1..20).map(|number| IpAddr::V4(Ipv4Addr::new(239, 0, 0, number)));
        let joined = groups.map(|group| member.join(group)).collect::<Vec<_>>();
        assert_eq!(joined.iter().filter(|it| it.is_ok()).count(), 8);
        assert_eq!(joined.last(), Some(&Err(Error::TooManyGroups)));
    });
}
