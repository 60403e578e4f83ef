//! Machines with several network cards: whose argument is whose, and which card a packet takes.

#![forbid(unsafe_code)]

mod support;

use embassy_time::Timer;
use landfall::{ExitCode, System};
use std::net::Ipv4Addr;
use support::{Ended, Scenario, Wire};

/// Where an Ethernet frame says what it carries, and an ARP request whom it asks for.
const ETHER_TYPE: usize = 12;
const ARP: [u8; 2] = [0x08, 0x06];
const ARP_TARGET: usize = 38;
/// Where a UDP datagram says to which port it goes, and DHCP's (RFC 2131, 4.1).
const UDP_DESTINATION: usize = 36;
const DHCP_SERVER: [u8; 2] = [0, 67];

/// Runs an app that does nothing for a second.
fn boot(arguments: &'static str, cards: &[Wire]) -> Ended {
    let scenario = Scenario {
        arguments,
        cards: cards.to_vec(),
        ..Scenario::default()
    };
    scenario.run(async |_| {
        Timer::after_secs(1).await;
        Ok::<_, String>(())
    })
}

fn cards<const COUNT: usize>() -> [Wire; COUNT] {
    std::array::from_fn(|_| Wire::default())
}

#[test]
fn each_card_has_its_own_arguments_and_its_own_name_in_the_log() {
    let ended = boot(
        "ip1=10.1.0.2/16 ip=10.0.0.2/24 gateway1=10.1.0.1",
        &cards::<2>(),
    );
    assert_eq!(ended.code, ExitCode::Success);
    ended.says("INFO  net: address 10.0.0.2/24, no gateway (static)\n");
    ended.says("INFO  net1: address 10.1.0.2/16, gateway 10.1.0.1 (static)\n");
}

#[test]
fn a_card_without_an_address_asks_for_one() {
    let cards = cards::<2>();
    boot("ip=10.0.0.2/24", &cards);
    let asked = cards.map(|card| card.carried(UDP_DESTINATION, &DHCP_SERVER));
    assert_eq!(asked, [false, true]);
}

#[test]
fn an_argument_for_a_card_that_is_not_there_is_unknown() {
    let ended = boot("ip=10.0.0.2/24 ip1=10.1.0.2/16", &cards::<1>());
    assert_eq!(ended.code, ExitCode::Usage);
    ended.says("unknown boot argument `ip1`; known are: log, ");
    let ended = boot("ip=10.0.0.2/24", &[]);
    assert_eq!(ended.code, ExitCode::Usage);
    ended.says("unknown boot argument `ip`; known are: log, ");
}

#[test]
fn wrong_values_are_usage_errors_that_name_the_key() {
    for (arguments, sentence) in [
        (
            "ip1=10.1.0.2",
            "ip1=10.1.0.2: expected an address with its network's prefix",
        ),
        (
            "ip1=10.1.0.2/0",
            "ip1=10.1.0.2/0: expected an address with its network's prefix",
        ),
        (
            "ip1=10.1.0.2/16 gateway1=router",
            "gateway1=router: expected an address such as",
        ),
        (
            "ip=10.0.0.2/24 gateway1=10.1.0.1",
            "gateway1=10.1.0.1: expected an address of the same card beside it",
        ),
    ] {
        let ended = boot(arguments, &cards::<2>());
        assert_eq!(ended.code, ExitCode::Usage, "{arguments}");
        ended.says(sentence);
    }
}

#[test]
fn a_fifth_card_is_not_used_and_that_is_said() {
    let cards = cards::<5>();
    let ended = boot("", &cards);
    ended.says("WARN  net: 5 network cards, of which the first 4 are used\n");
    let asked = cards.map(|card| card.carried(UDP_DESTINATION, &DHCP_SERVER));
    assert_eq!(asked, [true, true, true, true, false]);
}

/// Returns which of two cards asks for the hardware address of `neighbour` when an app connects to
/// `peer`. Only the second card has a gateway.
fn asks(peer: [u8; 4], neighbour: [u8; 4]) -> [bool; 2] {
    let cards = cards::<2>();
    let scenario = Scenario {
        arguments: "ip=10.0.0.2/24 ip1=10.1.0.2/16 gateway1=10.1.0.1",
        cards: cards.to_vec(),
        ..Scenario::default()
    };
    scenario.run(async move |system: System| {
        let remote = (Ipv4Addr::from(peer), 80).into();
        let nobody = system.network()?.connect_tcp(remote).await;
        assert!(nobody.is_err());
        Ok::<_, landfall::Error>(())
    });
    cards.map(|card| card.carried(ETHER_TYPE, &ARP) && card.carried(ARP_TARGET, &neighbour))
}

#[test]
fn a_connection_leaves_by_the_card_that_leads_to_its_peer() {
    assert_eq!(asks([10, 0, 0, 9], [10, 0, 0, 9]), [true, false]);
    assert_eq!(asks([10, 1, 0, 9], [10, 1, 0, 9]), [false, true]);
    assert_eq!(asks([8, 8, 8, 8], [10, 1, 0, 1]), [false, true]);
}
