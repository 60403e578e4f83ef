//! What the network gives an app and what it takes: addresses of both kinds, names, groups. Against Linux's own IP
//! stack and dnsmasq, in a network namespace; the app in a process, on the machines, and as a guest of Xen, whose
//! bridge is joined to the namespace's tap.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use landfall_tests::dnsmasq::{HOST_IPV6, Ipv6};
use landfall_tests::http::get;
use landfall_tests::network::{GUEST, GUEST_MAC, HOST, ping};
use landfall_tests::xen::{Domain, TAPPED};
use landfall_tests::{
    Connection, DEADLINE, Dnsmasq, Guest, Lab, Namespace, XenHost, skip, wait_until,
};

/// The guest's address in the prefix of [`HOST_IPV6`], made of its hardware address (RFC 4291, appendix A).
const GUEST_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0x5054, 0x00ff, 0xfe12, 0x3456);
/// Where guest `network` takes orders.
const ORDERS: u16 = 7000;
/// Where multicast DNS is spoken (RFC 6762).
const MDNS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// Where the app runs.
#[derive(Clone, Copy)]
enum Board<'a> {
    Unix,
    Machine(&'static str),
    Xen(&'a XenHost),
}

/// An app that runs.
enum Running<'a> {
    Here(Guest),
    Domain(Domain<'a>),
}

impl Deref for Running<'_> {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        match self {
            Self::Here(guest) => guest,
            Self::Domain(domain) => domain,
        }
    }
}

impl DerefMut for Running<'_> {
    fn deref_mut(&mut self) -> &mut Guest {
        match self {
            Self::Here(guest) => guest,
            Self::Domain(domain) => domain,
        }
    }
}

/// Every test on every board.
macro_rules! on_each_board {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn unix() {
                super::on(super::Board::Unix, super::$test);
            }

            #[test]
            fn virt() {
                super::on(super::Board::Machine("virt"), super::$test);
            }

            #[test]
            fn virt_armv7() {
                super::on(super::Board::Machine("virt-armv7"), super::$test);
            }

            #[test]
            fn xen() {
                super::on_xen(super::$test);
            }
        }
    )*};
}

on_each_board!(
    an_ipv6_only_client_is_served,
    a_configured_ipv6_address_serves,
    large_answers_are_sent_once,
    a_lease_is_renewed_under_an_open_connection,
    another_subnet_is_followed,
    names_are_resolved,
    name_servers_that_fail_and_dawdle_are_borne,
    others_find_it_by_its_name,
    datagrams_to_a_group_arrive,
    echo_requests_are_answered,
);

type Test = fn(&Lab, &Namespace, Board<'_>, Dnsmasq<'_>);

fn on(board: Board<'_>, test: Test) {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    let _joined = match board {
        Board::Xen(host) => Some(host.join(&namespace)),
        _ => None,
    };
    match Dnsmasq::new(&lab, &namespace) {
        Ok(server) => test(&lab, &namespace, board, server),
        Err(why) => skip(why),
    }
}

fn on_xen(test: Test) {
    if let Some(host) = XenHost::open() {
        on(Board::Xen(&host), test);
    }
}

impl<'a> Board<'a> {
    /// Starts `app` on the tap. Without an argument it asks for an address.
    fn start(
        self,
        lab: &Lab,
        namespace: &Namespace,
        app: &'a str,
        arguments: &[&'a str],
    ) -> Running<'a> {
        match self {
            Self::Unix => Running::Here(lab.process_on(namespace, app, arguments)),
            Self::Machine(board) => {
                let machine = lab.machine(app).board(board).dhcp(namespace);
                let all = arguments.iter();
                let machine = all.fold(machine, |machine, argument| machine.argument(argument));
                Running::Here(machine.start())
            }
            Self::Xen(host) => {
                let domain = host.domain("networked", app).bridges(&[TAPPED]);
                let mut domain = domain.mac(GUEST_MAC).arguments(arguments).create();
                // What is sent to it earlier is lost on the bridge.
                domain.wait_for_line("the network link is up");
                Running::Domain(domain)
            }
        }
    }
}

/// Gives guest `network` an order; returns what it says. To be called inside of the namespace.
fn order(guest: IpAddr, words: &str) -> String {
    let socket = UdpSocket::bind(match guest {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    });
    let socket = socket.expect("a free port");
    // The first datagram to a guest that is new on a bridge may be lost, as any datagram may.
    let pause = Some(Duration::from_secs(5));
    socket.set_read_timeout(pause).expect("it is not zero");
    let to = SocketAddr::new(guest, ORDERS);
    let mut answer = [0; 1500];
    let (length, from) = wait_until("an answer", DEADLINE, || {
        socket.send_to(words.as_bytes(), to).expect("a way");
        socket.recv_from(&mut answer).ok()
    });
    assert_eq!(from, to);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn an_ipv6_only_client_is_served(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    mut server: Dnsmasq<'_>,
) {
    server.range = None;
    server.ipv6 = Some(Ipv6::Advertised);
    server.start();
    let mut guest = board.start(lab, namespace, "2048", &["ip=off"]);
    let line = guest.wait_for_line("net: address fd77");
    assert!(
        line.ends_with(&format!("address {GUEST_IPV6}/64 (SLAAC)")),
        "{line}"
    );
    let address = guest.wait_for_its_address();
    assert_eq!(address.ip(), IpAddr::V6(GUEST_IPV6));
    let page = namespace.run(|| get(address, "/"));
    assert_eq!(page.status, 200);
    assert!(page.text().contains("2048"));
    // Its address of the link serves, too, and large answers.
    let link: Ipv6Addr = "fe80::5054:ff:fe12:3456".parse().expect("an address");
    let scope = namespace.tap_index();
    let on_link = SocketAddrV6::new(link, address.port(), 0, scope);
    let wasm = namespace.run(|| get(on_link.into(), "/game.wasm"));
    assert_eq!(wasm.body, namespace.run(|| get(address, "/game.wasm")).body);
    guest.assert_well();
}

fn a_configured_ipv6_address_serves(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    mut server: Dnsmasq<'_>,
) {
    server.range = None;
    server.ipv6 = Some(Ipv6::Advertised);
    server.start();
    let arguments = ["ip=10.77.0.2/24", "ip6=fd77::22/64"];
    let mut guest = board.start(lab, namespace, "2048", &arguments);
    guest.wait_for_line("net: address fd77::22/64 (static)");
    let address: SocketAddr = "[fd77::22]:8080".parse().expect("an address");
    assert_eq!(namespace.run(|| get(address, "/")).status, 200);
    let address = SocketAddr::from((GUEST, 8080));
    assert_eq!(namespace.run(|| get(address, "/")).status, 200);
    // It was told not to make one of its own.
    assert!(!guest.console().contains("SLAAC"), "{}", guest.console());
    guest.assert_well();
}

/// Returns what a guest of 2048 counts by this name, of all causes together.
fn counted(guest: SocketAddr, name: &str) -> u64 {
    let page = get(guest, "/metrics");
    let values = page.text().lines().filter_map(|line| {
        let labels = line.strip_prefix(name)?.strip_prefix('{')?;
        labels.rsplit_once(' ')?.1.parse::<u64>().ok()
    });
    values
        .reduce(|one, other| one + other)
        .unwrap_or_else(|| panic!("no {name}: {}", page.text()))
}

/// What a card is to cut and does not, for it was told the wrong kind, arrives too: sent again, as single segments.
fn large_answers_are_sent_once(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    _server: Dnsmasq<'_>,
) {
    let place = namespace.place();
    let [ip, gateway] = place.each_ref().map(String::as_str);
    namespace.cut_large_frames(&["fd77::1/64"]);
    let mut guest = board.start(lab, namespace, "2048", &[ip, gateway, "ip6=fd77::22/64"]);
    guest.wait_for_line("net: address fd77::22/64 (static)");
    let addresses = ["10.77.0.2:8080", "[fd77::22]:8080"];
    for address in addresses.map(|it| it.parse().expect("an address")) {
        namespace.run(|| {
            let frames = || counted(address, "landfall_network_transmit_frames_total");
            let again = || counted(address, "landfall_tcp_retransmits_total");
            let first = get(address, "/game.wasm").body;
            let before = (frames(), again());
            for _ in 0..5 {
                assert!(get(address, "/game.wasm").body == first, "{address}");
            }
            let (frames, again) = (frames() - before.0, again() - before.1);
            // A timer may go off while dom0 is busy. Of answers that were not cut, each segment is sent again.
            assert!(again < 10, "{address}: {again} segments");
            // With the handshake and the end there are three for each, and for the metrics; of single segments seven.
            let cuts = !matches!(board, Board::Unix);
            assert!(!cuts || frames <= 36, "{address}: {frames} frames");
        });
    }
    guest.assert_well();
}

/// 2048 without IPv6, whose lease is renewed after two seconds and rebound after ten: long enough for a server to go
/// and come back in between, on slow machines too.
fn with_a_short_lease<'a>(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'a>,
    server: &mut Dnsmasq<'_>,
) -> Running<'a> {
    server.reserved.push((GUEST_MAC, GUEST));
    server.renewal_seconds = Some((2, 10));
    server.start();
    board.start(lab, namespace, "2048", &["ip6=off"])
}

fn a_lease_is_renewed_under_an_open_connection(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    mut server: Dnsmasq<'_>,
) {
    let mut guest = with_a_short_lease(lab, namespace, board, &mut server);
    let address = guest.wait_for_its_address();
    // A connection that asks nothing for long is closed.
    let acknowledged = |connection: &mut Connection, server: &mut Dnsmasq<'_>, times: usize| {
        wait_until("renewals", DEADLINE, || {
            let response = connection.request("GET", "/", "").expect("an answer");
            assert_eq!(response.status, 200);
            (server.log().matches("DHCPACK").count() >= times).then_some(())
        });
    };
    namespace.run(|| {
        let mut connection = Connection::open(address).expect("the server listens");
        acknowledged(&mut connection, &mut server, 3);
        // Gone when it is asked next, and back when anybody is: the lease goes on.
        server.stop();
        std::thread::sleep(Duration::from_secs(3));
        server.start();
        acknowledged(&mut connection, &mut server, 1);
    });
    let console = guest.console();
    assert_eq!(console.matches("net: address").count(), 1, "{console}");
    guest.assert_well();
}

fn another_subnet_is_followed(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    mut server: Dnsmasq<'_>,
) {
    let mut guest = with_a_short_lease(lab, namespace, board, &mut server);
    let address = guest.wait_for_its_address();
    let mut old = namespace
        .run(|| Connection::open(address))
        .expect("it listens");
    // The same server, in another network.
    server.stop();
    server.forget_leases();
    namespace.add_address("10.79.0.1/24");
    let [first, last] = [100, 199].map(|host| Ipv4Addr::new(10, 79, 0, host));
    server.range = Some((first, last));
    server.router = Some(Ipv4Addr::new(10, 79, 0, 1));
    let new = Ipv4Addr::new(10, 79, 0, 150);
    server.reserved = vec![(GUEST_MAC, new)];
    server.start();
    guest.wait_for_line(&format!("net: address {new}/24"));
    let page = namespace.run(|| get((new, address.port()).into(), "/"));
    assert_eq!(page.status, 200);
    // What was open from the old address has ended, and was not left hanging.
    let asked = namespace.run(|| old.request("GET", "/", ""));
    assert!(asked.is_err(), "an answer from {address}");
    guest.assert_well();
}

fn names_are_resolved(lab: &Lab, namespace: &Namespace, board: Board<'_>, mut server: Dnsmasq<'_>) {
    let (four, six) = (
        Ipv4Addr::new(10, 77, 0, 9),
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 9),
    );
    server.ipv6 = Some(Ipv6::Advertised);
    server.records = vec![
        ("printer.test".into(), four.into()),
        ("printer.test".into(), six.into()),
        ("old.test".into(), four.into()),
        ("new.test".into(), six.into()),
        ("here.test".into(), HOST.into()),
    ];
    server.options.push("--cname=alias.test,old.test".into());
    server.options.push("--local=/test/".into());
    server.reserved.push((GUEST_MAC, GUEST));
    server.start();
    let mut guest = board.start(lab, namespace, "network", &[]);
    guest.wait_for_line("UDP port 7000 is open");
    guest.wait_for_line(&format!("net: address {GUEST}"));
    guest.wait_for_line("(SLAAC)");
    namespace.run(|| {
        let ask = |name: &str| order(GUEST.into(), &format!("resolve {name}"));
        assert_eq!(ask("printer.test"), format!("{six} {four}"));
        assert_eq!(ask("PRINTER.test."), format!("{six} {four}"));
        assert_eq!(ask("old.test"), four.to_string());
        assert_eq!(ask("new.test"), six.to_string());
        assert_eq!(ask("alias.test"), four.to_string());
        assert_eq!(ask("192.0.2.1"), "192.0.2.1");
        assert_eq!(
            ask("nowhere.test"),
            "error: cannot find the address of nowhere.test: there is no such name"
        );
        assert!(ask("a..b").starts_with("error: "), "{}", ask("a..b"));
        // Over IPv6 the same, orders and all.
        let asked = order(GUEST_IPV6.into(), "resolve here.test");
        assert_eq!(asked, HOST.to_string());
        let listener = std::net::TcpListener::bind((HOST_IPV6, 0)).expect("a free port");
        let to = listener.local_addr().expect("it is bound");
        assert_eq!(order(GUEST.into(), &format!("connect {to}")), "connected");
        let (_, from) = listener.accept().expect("it came");
        assert_eq!(from.ip(), IpAddr::V6(GUEST_IPV6));
    });
    guest.assert_well();
}

/// Answers DNS questions with the code that `answer` returns, after so long.
fn name_server(address: Ipv4Addr, answer: u8, after: Duration) {
    let socket = UdpSocket::bind((address, 53)).expect("the address is ours");
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            std::thread::sleep(after);
            // An answer, recursion available, with this code and no records.
            question[2] |= 0x80;
            question[3] = 0x80 | answer;
            let _ = socket.send_to(&question[..length], from);
        }
    });
}

fn name_servers_that_fail_and_dawdle_are_borne(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    mut server: Dnsmasq<'_>,
) {
    const SERVFAIL: u8 = 2;
    const NOERROR: u8 = 0;
    server.records = vec![("printer.test".into(), [10, 77, 0, 9].into())];
    server.start();
    let place = namespace.place();
    for host in [3, 4] {
        namespace.add_address_beside(Ipv4Addr::new(10, 77, 0, host));
    }
    namespace.run(|| {
        let at = |host| Ipv4Addr::new(10, 77, 0, host);
        name_server(at(3), SERVFAIL, Duration::ZERO);
        name_server(at(4), NOERROR, Duration::from_millis(1200));
    });
    let ask = |servers: &str| {
        let servers = format!("dns={servers}");
        let arguments = [&place[0], &place[1], &servers, "ip6=off"];
        let mut guest = board.start(lab, namespace, "network", &arguments);
        guest.wait_for_line("UDP port 7000 is open");
        let begin = std::time::Instant::now();
        let answer = namespace.run(|| order(GUEST.into(), "resolve printer.test"));
        guest.assert_well();
        (answer, begin.elapsed())
    };
    // One fails, one is silent (nobody has that address), one dawdles; dnsmasq is asked after the first two.
    assert_eq!(ask("10.77.0.3,10.77.0.1").0, "10.77.0.9");
    assert_eq!(ask("10.77.0.77,10.77.0.1").0, "10.77.0.9");
    let (answer, took) = ask("10.77.0.4");
    assert!(answer.ends_with("it has no such address"), "{answer}");
    assert!(took >= Duration::from_millis(1200), "{took:?}");
    // And where nobody answers, that is said.
    server.stop();
    let (answer, _) = ask("10.77.0.77,10.77.0.78");
    assert!(
        answer.starts_with("error: cannot find the address of printer.test"),
        "{answer}"
    );
}

/// Asks by multicast for a name's IPv4 address; returns what the first answer says.
fn ask_the_link(name: &str) -> Ipv4Addr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, MDNS.1)).expect("nobody has the port");
    socket
        .join_multicast_v4(&MDNS.0, &HOST)
        .expect("the tap takes multicast");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("it is not zero");
    let label = [&[name.len() as u8], name.as_bytes(), b"\x05local\0"].concat();
    let question = [
        &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        &label[..],
        &[0, 1, 0, 1],
    ]
    .concat();
    wait_until("an answer", DEADLINE, || {
        socket.send_to(&question, MDNS).expect("a way");
        let mut answer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut answer).ok()?;
            let answer = &answer[..length];
            let is_answer = answer.get(2) == Some(&0x84) && answer[12..].starts_with(&label);
            if is_answer && from.ip() == GUEST {
                // Type, class, life and length stand between the name and the address.
                let at = 12 + label.len() + 10;
                return answer[at..at + 4]
                    .first_chunk()
                    .map(|it| Ipv4Addr::from(*it));
            }
        }
    })
}

/// Waits until the guest asks whether somebody has the name, and says so.
fn claim_the_name(name: &str, ready: &std::sync::mpsc::Sender<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, MDNS.1)).expect("the port is free");
    socket.join_multicast_v4(&MDNS.0, &HOST).expect("the tap");
    let deadline = Some(DEADLINE);
    socket.set_read_timeout(deadline).expect("it is not zero");
    ready.send(()).expect("the test waits");
    let mut probe = [0; 1500];
    while socket
        .recv_from(&mut probe)
        .expect("it asks for its name")
        .1
        .ip()
        != GUEST
    {}
    let label = [&[name.len() as u8], name.as_bytes(), b"\x05local\0"].concat();
    // An answer with one record: an address of this host's, for two minutes.
    let head = b"\0\0\x84\0\0\0\0\x01\0\0\0\0";
    let record = b"\0\x01\x80\x01\0\0\0\x78\0\x04";
    let claim = [&head[..], &label, record, &HOST.octets()].concat();
    socket.send_to(&claim, MDNS).expect("a way");
}

fn others_find_it_by_its_name(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    _server: Dnsmasq<'_>,
) {
    let place = namespace.place();
    let [ip, gateway] = place.each_ref().map(String::as_str);
    namespace.add_route("224.0.0.0/4");
    let mut guest = board.start(lab, namespace, "2048", &[ip, gateway]);
    guest.wait_for_line("this machine is 2048.local");
    assert_eq!(namespace.run(|| ask_the_link("2048")), GUEST);
    guest.assert_well();
    drop(guest);
    // Where the name is another's, it takes the next.
    let mut guest = std::thread::scope(|scope| {
        let (ready, is_ready) = std::sync::mpsc::channel();
        scope.spawn(|| namespace.run(move || claim_the_name("2048", &ready)));
        is_ready.recv().expect("it listens");
        board.start(lab, namespace, "2048", &[ip, gateway])
    });
    guest.wait_for_line("2048.local is another machine's name; trying 2048-2.local");
    guest.wait_for_line("this machine is 2048-2.local");
    guest.assert_well();
}

fn datagrams_to_a_group_arrive(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    _server: Dnsmasq<'_>,
) {
    let place = namespace.place();
    let [ip, gateway] = place.each_ref().map(String::as_str);
    namespace.add_route("224.0.0.0/4");
    let mut guest = board.start(lab, namespace, "network", &[ip, gateway]);
    guest.wait_for_line("UDP port 7000 is open");
    let group = Ipv4Addr::new(239, 1, 2, 3);
    namespace.run(|| {
        let answered = || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
            let pause = Some(Duration::from_millis(300));
            socket.set_read_timeout(pause).expect("it is not zero");
            socket.send_to(b"anybody?", (group, ORDERS)).expect("a way");
            let mut answer = [0; 100];
            let answer = socket.recv_from(&mut answer);
            answer.is_ok_and(|(length, from)| length == 8 && from.ip() == GUEST)
        };
        assert!(!answered(), "it is in no group yet");
        assert_eq!(order(GUEST.into(), &format!("join {group}")), "joined");
        wait_until("an answer of the group", DEADLINE, || {
            answered().then_some(())
        });
        assert_eq!(order(GUEST.into(), &format!("leave {group}")), "left");
        assert!(!answered(), "it has left the group");
        let refused = order(GUEST.into(), "join 10.77.0.9");
        assert!(refused.starts_with("error: "), "{refused}");
    });
    guest.assert_well();
}

fn echo_requests_are_answered(
    lab: &Lab,
    namespace: &Namespace,
    board: Board<'_>,
    mut server: Dnsmasq<'_>,
) {
    server.ipv6 = Some(Ipv6::Advertised);
    server.start();
    let place = namespace.place();
    let [ip, gateway] = place.each_ref().map(String::as_str);
    let mut guest = board.start(lab, namespace, "2048", &[ip, gateway]);
    guest.wait_for_line("(SLAAC)");
    let scope = namespace.tap_index();
    let link: Ipv6Addr = "fe80::5054:ff:fe12:3456".parse().expect("an address");
    namespace.run(|| {
        let on_link = SocketAddrV6::new(link, 0, 0, scope);
        for to in [(GUEST, 0).into(), (GUEST_IPV6, 0).into(), on_link.into()] {
            for length in [0, 56, 1400] {
                ping(to, length);
            }
        }
    });
    guest.assert_well();
}
