//! Networks of domains: two at once, static addresses, two cards, and a backend that goes and comes back.

use std::net::SocketAddrV4;

use landfall_tests::{XenHost, xen::wait_slowly};

use crate::page;

#[test]
fn two_domains_serve_at_once_and_talk_to_each_other() {
    let Some(host) = XenHost::open() else { return };
    let mut one = host.domain("one", "hello").memory(16).create();
    let mut two = host.domain("two", "2048").create();
    let inside = one.wait_until_it_listens();
    let (first, second) = (host.forward(inside), two.wait_until_it_is_reached());
    assert_eq!(page(first).text(), "hello\n");
    assert!(page(second).text().contains("2048"));
    let from = format!("from={inside}");
    let mut third = host
        .domain("three", "crash")
        .arguments(&["how=fetch", &from])
        .create();
    third.wait_for_line(&format!("{inside} answers \"HTTP/1.1 200 OK\""));
    assert_eq!(third.wait_for_end(), 0, "{}", third.console());
}

/// Asks from dom0: no forward leads to its other bridges. The shell itself connects, as a client that dom0
/// surely has.
pub(crate) fn dom0_gets(host: &XenHost, address: &str) {
    let get = format!(
        "timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/8080 && \
         printf \"GET / HTTP/1.1\\r\\nHost: dom0\\r\\nConnection: close\\r\\n\\r\\n\" >&3 && cat <&3'"
    );
    let what = format!("a page at {address}, seen from dom0");
    wait_slowly(&what, || {
        host.succeeds(&format!("{get} | grep -q '^hello$'"))
            .then_some(())
    });
}

#[test]
fn static_and_given_addresses_work_on_an_isolated_bridge() {
    let Some(host) = XenHost::open() else { return };
    let mut given = host
        .domain("given", "hello")
        .memory(16)
        .bridges(&["xenbr1"])
        .create();
    let mut fixed = host
        .domain("fixed", "hello")
        .memory(16)
        .bridges(&["xenbr1"])
        .arguments(&["ip=10.77.0.5/24", "gateway=10.77.0.1"])
        .create();
    let address = given.wait_until_it_listens().ip().to_string();
    assert!(address.starts_with("10.77.0."), "{address}");
    dom0_gets(&host, &address);
    fixed.wait_for_line("http://10.77.0.5:8080/");
    dom0_gets(&host, "10.77.0.5");
}

#[test]
fn two_cards_answer_on_both_networks() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host
        .domain("cards", "hello")
        .memory(16)
        .bridges(&["xenbr0", "xenbr1"])
        .arguments(&["ip1=10.77.0.6/24"])
        .create();
    domain.wait_for_line("net1: address 10.77.0.6/24");
    let line = domain.wait_for_line("net: address 10.0.2.");
    let words = line
        .split_once("address ")
        .and_then(|(_, it)| it.split_once('/'));
    let address = words.and_then(|(address, _)| address.parse().ok());
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    let reached = host.forward(SocketAddrV4::new(address, 8080));
    assert_eq!(page(reached).text(), "hello\n");
    dom0_gets(&host, "10.77.0.6");
}

/// Without a router and a DHCP server there are still the addresses of the link.
#[test]
fn a_domain_is_reached_by_ipv6() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host
        .domain("six", "2048")
        .bridges(&["xenbr2", "xenbr1"])
        .arguments(&["ip=off", "ip1=10.77.0.8/24"])
        .create();
    let line = domain.wait_for_line("net: address fe80");
    let address = line
        .split_once("net: address ")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(address, _)| address.to_owned());
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    let get = |address: &str, path: &str| {
        format!(
            "timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/8080 && \
             printf \"GET {path} HTTP/1.1\\r\\nHost: dom0\\r\\nConnection: close\\r\\n\\r\\n\" >&3 && cat <&3'"
        )
    };
    let six = format!("{address}%xenbr2");
    let metrics = get(&six, "/metrics");
    wait_slowly("metrics over IPv6, seen from dom0", || {
        let asked = format!("{metrics} | grep -q '^landfall_build_info.*app=.2048'");
        host.succeeds(&asked).then_some(())
    });
    // What is longer than a frame goes as segments that netback cuts, and is the same over both.
    let four = get("10.77.0.8", "/game.wasm");
    let length = host.shell(&format!("{four} | wc -c"));
    assert!(
        length.trim().parse::<u32>().is_ok_and(|it| it > 5_000),
        "{length}"
    );
    let six = get(&six, "/game.wasm");
    let same = format!(
        "{four} >/tmp/four && {six} >/tmp/six && cmp /tmp/four /tmp/six && rm /tmp/four /tmp/six"
    );
    host.shell(&same);
    // netback counts such a frame as one: with the handshake and the end there are four, where single segments would make
    // eight of it.
    let packets = format!(
        "cat /sys/class/net/vif{}.0/statistics/rx_packets",
        domain.number()
    );
    let count = || -> u32 { host.shell(&packets).trim().parse().expect("a number") };
    let before = count();
    for _ in 0..5 {
        host.shell(&format!("{six} >/dev/null"));
    }
    let sent = count() - before;
    assert!(sent <= 30, "{sent} packets for five answers");
    let wrong = format!("{metrics} | grep '^landfall_.*dropped.*checksum'");
    let counted = host.shell(&wrong);
    assert!(
        counted.lines().all(|line| line.ends_with(" 0")),
        "{counted}"
    );
}

/// netback, dom0's half of a network card (drivers/net/xen-netback of Linux).
const NETBACK: &str = "/sys/bus/xen-backend/drivers/vif";

/// Takes a card away from netback.
fn unbind(host: &XenHost, number: u32) {
    host.shell(&format!("echo vif-{number}-0 > {NETBACK}/unbind"));
}

/// Gives netback a card back, and does what the hotplug script of `xl create` does for a new one.
fn bind(host: &XenHost, number: u32) {
    host.shell(&format!("echo vif-{number}-0 > {NETBACK}/bind"));
    let join = format!(
        "ip link set vif{number}.0 master xenbr0 up && xenstore-write \
         /local/domain/0/backend/vif/{number}/0/hotplug-status connected"
    );
    wait_slowly(&join, || host.succeeds(&join).then_some(()));
}

#[test]
fn a_backend_that_is_not_there_is_complained_about_and_used_when_it_comes() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host.domain("unbound", "hello").memory(16).create_paused();
    let number = domain.number();
    unbind(&host, number);
    let backend = format!("/local/domain/0/backend/vif/{number}/0");
    domain.xl("unpause");
    let complaint = domain.wait_for_line("check in dom0");
    assert!(complaint.contains(&backend), "{complaint}");
    bind(&host, number);
    let address = domain.wait_until_it_is_reached();
    assert_eq!(page(address).text(), "hello\n");
    // netback says nothing when it goes, but when it is back.
    unbind(&host, number);
    bind(&host, number);
    domain.wait_for_line("the network link is down");
    domain.wait_for_lines("the network link is up", 2);
    assert_eq!(page(address).text(), "hello\n");
}
