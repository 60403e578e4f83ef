//! Our own IP stack in a process of this machine, on a tap in a network namespace.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use landfall_tests::http::get;
use landfall_tests::network::{GUEST_MAC, HOST, TAP};
use landfall_tests::{Dnsmasq, Lab, Namespace, skip};
use nix::sys::signal::Signal;

/// What tests without root or a program say, and go.
macro_rules! here {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(why) => return skip(why),
        }
    };
}

#[test]
fn the_page_is_served_over_a_tap() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    let [ip, gateway] = namespace.place();
    let mut process = lab.process_on(&namespace, "2048", &[&ip, &gateway]);
    let address = process.wait_for_its_address();
    assert_eq!(address, namespace.guest());
    let mut sockets = lab.process("2048", &[]);
    sockets.wait_until_it_listens();
    for path in ["/", "/style.css", "/game.js"] {
        let over_the_tap = namespace.run(|| get(address, path));
        assert_eq!(over_the_tap.status, 200, "{path}");
        assert_eq!(
            over_the_tap.body,
            get(sockets.address(), path).body,
            "{path}"
        );
    }
    // Only our own stack counts its connections.
    let info = namespace.run(|| get(address, "/api/info")).json();
    assert!(info["sockets"]["tcp"]["open"].as_u64() > Some(0), "{info}");
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait_for_exit(), 0, "{}", process.console());
}

#[test]
fn an_address_is_had_by_dhcp() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    let mut server = here!(Dnsmasq::new(&lab, &namespace));
    let reserved = [10, 77, 0, 42].into();
    server.reserved.push((GUEST_MAC, reserved));
    server.start();
    let mut process = lab.process_on(&namespace, "2048", &[]);
    let line = process.wait_for_line("net: address ");
    assert!(
        line.ends_with(&format!("address {reserved}/24, gateway {HOST} (DHCP)")),
        "{line}"
    );
    let address = process.wait_for_its_address();
    assert_eq!(address.ip(), IpAddr::V4(reserved));
    assert_eq!(namespace.run(|| get(address, "/")).status, 200);
    let acknowledged = server.wait_for_line("DHCPACK");
    assert!(
        acknowledged.contains("10.77.0.42 52:54:00:12:34:56"),
        "{acknowledged}"
    );
    process.assert_well();
}

/// The image in QEMU, by the same server.
#[test]
fn a_machine_has_an_address_by_dhcp() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    let mut server = here!(Dnsmasq::new(&lab, &namespace));
    server.router = None;
    server.start();
    let mut guest = lab.machine("hello").dhcp(&namespace).start();
    let line = guest.wait_for_line("net: address ");
    assert!(line.ends_with("no gateway (DHCP)"), "{line}");
    let address = guest.wait_for_its_address();
    assert_eq!(namespace.run(|| get(address, "/")).text(), "hello\n");
    guest.assert_well();
}

#[test]
fn the_link_is_the_taps() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    namespace.set_tap(&["mtu", "1280"]);
    let [ip, gateway] = namespace.place();
    let mut process = lab.process_on(&namespace, "hello", &[&ip, &gateway]);
    let address = process.wait_for_its_address();
    // The kernel drops frames until it has said that the link is up, which it does in its own time.
    assert_eq!(namespace.run(|| get(address, "/")).text(), "hello\n");
    namespace.set_tap(&["down"]);
    process.wait_for_line("the network link is down");
    namespace.set_tap(&["up"]);
    process.wait_for_line("the network link is up");
    assert_eq!(namespace.run(|| get(address, "/")).text(), "hello\n");
    namespace.remove_tap();
    process.wait_for_line("the tap is gone");
    process.assert_well();
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait_for_exit(), 0, "{}", process.console());
}

/// CPU time of a process in ticks of the system's clock, of which there are 100 a second (proc(5), utime and stime).
fn cpu_ticks(process: u32) -> u64 {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(path).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in brackets");
    let fields: Vec<&str> = fields.split(' ').collect();
    [fields[11], fields[12]]
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .iter()
        .sum()
}

#[test]
fn an_idle_process_uses_no_cpu() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    let [ip, gateway] = namespace.place();
    let mut process = lab.process_on(&namespace, "hello", &[&ip, &gateway]);
    let address = process.wait_for_its_address();
    namespace.run(|| get(address, "/"));
    let before = cpu_ticks(process.pid());
    std::thread::sleep(std::time::Duration::from_secs(3));
    let used = cpu_ticks(process.pid()) - before;
    // Whoever polls in a loop uses them all.
    assert!(used <= 15, "{used} ticks of 10 ms in 3 s");
    process.assert_well();
}

#[test]
fn a_tap_that_is_not_to_be_had_is_explained() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    let [ip, gateway] = namespace.place();
    let mut first = lab.process_on(&namespace, "hello", &[&ip, &gateway]);
    first.wait_until_it_listens();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["tap=tap0"], 1, "tap tap0 is in use by another process"),
        (&["tap=nobody"], 1, "ip tuntap add dev nobody mode tap"),
        (&["tap=lo"], 1, "network device lo is no tap"),
        (&["tap=sixteen-letters-"], 2, "at most 15 letters"),
        (
            &["tap=tap0", "mac=ff:ff:ff:ff:ff:ff"],
            2,
            "address of one station",
        ),
        (&["mac=02:00:00:00:00:01"], 2, "expected tap=NAME beside it"),
        (&["ip=10.0.0.2/24"], 2, "unknown boot argument `ip`"),
    ];
    for (words, code, sentence) in cases {
        let mut command = namespace.command(&lab, lab.executable("hello"));
        let output = command.args(words).output().expect("it starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains(sentence), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    }
    first.assert_well();
}

/// Makes /dev/net/tun anew with the rights in $0, where nobody else sees it, and runs a program as nobody.
const AS_NOBODY: &str = "\
mount -t tmpfs tmpfs /dev/net && mknod -m $0 /dev/net/tun c 10 200 && \
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \"$@\"";

#[test]
fn a_tap_is_its_owners_and_roots() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    // A copy where anybody may go.
    let folder = landfall_tests::lab::Folder::elsewhere();
    let program = folder.path().join("hello");
    std::fs::copy(lab.executable("hello"), &program).expect("the folder is ours");
    let nobody = |rights: &str, tap: &str, more: &str| {
        let mut command = namespace.command(&lab, "sh");
        command.args(["-c", AS_NOBODY, rights]).arg(&program);
        let output = command.args([&format!("tap={tap}"), more]).output();
        let output = output.expect("a shell");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for (tap, owner) in [("tap1", "65534"), ("tap2", "65533")] {
        let mut ip = namespace.command(&lab, "ip");
        ip.args(["tuntap", "add", "dev", tap, "mode", "tap", "user", owner]);
        assert!(ip.status().expect("ip starts").success());
    }
    for (rights, tap, sentence) in [
        ("600", "tap1", "this user may not open /dev/net/tun"),
        ("666", "tap2", "tap tap2 is for root and its owner"),
        // The owner gets as far as to the arguments.
        ("666", "tap1", "ip=nonsense: expected an address"),
    ] {
        let said = nobody(rights, tap, "ip=nonsense");
        assert!(said.contains(sentence), "{rights} {tap}: {said}");
    }
}

/// The way that users take: the tool builds, starts, and finds the address on the console.
#[test]
fn the_tool_runs_a_process_on_a_tap() {
    let Some(lab) = Lab::open() else { return };
    let namespace = here!(Namespace::new());
    let mut server = here!(Dnsmasq::new(&lab, &namespace));
    server.start();
    let mut guest = lab.command_on(
        &namespace,
        &["run", "hello", "--tap", TAP, "--arg", "log=debug"],
    );
    let address = guest.wait_until_open();
    assert_eq!(namespace.run(|| get(address, "/")).text(), "hello\n");
    guest.signal(Signal::SIGINT);
    assert_eq!(guest.wait_for_exit(), 130, "{}", guest.console());
}
