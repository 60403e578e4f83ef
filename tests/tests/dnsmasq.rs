//! The server that other tests rely on: it does what it is told.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use landfall_tests::dnsmasq::{HOST_IPV6, Ipv6, SHORTEST_LEASE};
use landfall_tests::network::{HOST, TAP};
use landfall_tests::{Dnsmasq, Lab, Namespace, skip};

/// Runs `test` with a server that was not started.
fn with_server(test: impl FnOnce(&Lab, &Namespace, Dnsmasq<'_>)) {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    match Dnsmasq::new(&lab, &namespace) {
        Ok(server) => test(&lab, &namespace, server),
        Err(why) => skip(why),
    }
}

/// Asks for a record of a name (RFC 1035, 4.1); returns the answer's last bytes, where an address is.
fn ask(server: IpAddr, name: &str, kind: u8, length: usize) -> Vec<u8> {
    let socket = match server {
        IpAddr::V4(_) => UdpSocket::bind("0.0.0.0:0"),
        IpAddr::V6(_) => UdpSocket::bind("[::]:0"),
    };
    let socket = socket.expect("a free port");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("it is not zero");
    let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, kind, 0, 1]);
    socket.send_to(&query, (server, 53)).expect("a way");
    let mut answer = [0; 512];
    let end = socket.recv(&mut answer).expect("an answer");
    // Without an error, with one record.
    assert_eq!((answer[3] & 15, answer[7]), (0, 1), "{name}");
    answer[end - length..end].to_vec()
}

#[test]
fn names_have_the_addresses_that_were_given() {
    with_server(|_, namespace, mut server| {
        let six: Ipv6Addr = "fd77::9".parse().expect("an address");
        let name = "printer.test".to_owned();
        server.records.push((name.clone(), [10, 77, 0, 9].into()));
        server.records.push((name.clone(), six.into()));
        server.ipv6 = Some(Ipv6::Advertised);
        server.start();
        let answers = namespace.run(|| {
            (
                ask(HOST.into(), &name, 1, 4),
                ask(HOST_IPV6.into(), &name, 28, 16),
            )
        });
        assert_eq!(answers, (vec![10, 77, 0, 9], six.octets().to_vec()));
        assert!(server.wait_for_line("query[A] ").contains(&name));
    });
}

#[test]
fn a_lease_outlives_the_server_and_is_of_the_length_that_was_given() {
    with_server(|lab, namespace, mut server| {
        server.lease_seconds = SHORTEST_LEASE;
        server.renewal_seconds = Some((3, 60));
        server.start();
        let mut process = lab.process_on(namespace, "hello", &["log=debug"]);
        let address = process.wait_for_its_address();
        server.wait_for_line("DHCPACK");
        assert!(
            server.log().contains("option: 51 lease-time  2m"),
            "{}",
            server.log()
        );
        server.stop();
        server.start();
        // It renews after three seconds, by the same address.
        let renewed = server.wait_for_line("DHCPACK");
        assert!(renewed.contains(&address.ip().to_string()), "{renewed}");
        process.assert_well();
    });
}

#[test]
fn ipv6_is_given_out_in_each_way() {
    for (ipv6, word) in [
        (Ipv6::Advertised, "router advertisement on fd77::"),
        (Ipv6::Stateless, "DHCPv6 stateless on fd77::"),
        (Ipv6::Stateful, "DHCPv6, IP range fd77::1:0 -- fd77::1:ff"),
    ] {
        with_server(|lab, namespace, mut server| {
            server.range = None;
            server.ipv6 = Some(ipv6);
            server.start();
            assert!(server.log().contains(word), "{ipv6:?}:\n{}", server.log());
            // Without a station there is no link, and no advertisement.
            let _station = lab.process_on(namespace, "hello", &[]);
            server.wait_for_line(&format!("RTR-ADVERT({TAP}) fd77::"));
        });
    }
}
