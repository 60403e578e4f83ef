//! Board `sunxi` on an emulated Allwinner H3, as a user runs it: from reset, through Debian's SPL and U-Boot, from an SD
//! card.

#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use landfall_tests::dnsmasq::Ipv6;
use landfall_tests::http::{get, info};
use landfall_tests::network::TAP;
use landfall_tests::{Connection, Dnsmasq, Lab, Namespace, skip};

/// What is said on the way, in this order.
const STEPS: [&str; 9] = [
    "U-Boot SPL ",
    "Found U-Boot script /boot.scr",
    "Landfall: loading ",
    "boot: Landfall ",
    "boot: mapping memory, switching the MMU on",
    "boot: GICv2 ready",
    "boot: setting up the Ethernet controller",
    "boot: starting the watchdog: ",
    "boot: starting the app",
];

#[test]
fn a_card_starts_the_game_by_u_boot() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.command(&["run", "2048", "--board", "sunxi", "--port", "0"]);
    let address = guest.wait_until_open();
    guest.assert_said(&STEPS);
    guest.wait_for_line("(DHCP)");
    assert!(get(address, "/").text().contains("<title>2048"));
    let told = info(address);
    assert_eq!(
        (&told["board"], &told["cpu"]),
        (&"sunxi".into(), &"Cortex-A7".into()),
        "{told}"
    );
    guest.assert_well();
}

#[test]
fn the_thermometer_runs_there() {
    let Some(lab) = Lab::open() else { return };
    let words = ["run", "thermometer", "--board", "sunxi", "--port", "0"];
    let mut guest = lab.command(&words);
    let address = guest.wait_until_open();
    assert!(get(address, "/").text().contains("<title>Thermometer"));
    let told = get(address, "/api/history").json();
    assert_eq!(
        (&told["board"], &told["source"]),
        (&"sunxi".into(), &"simulated".into())
    );
    assert!(told["readings"][0]["celsius"].is_f64(), "{told}");
    // QEMU 7.2 has neither port controllers nor I2C in this machine: reads are 0. The tree has one I2C controller on, that
    // of the small CPU.
    guest.assert_said(&[
        "boot: an I2C controller's clock is not known here; not used",
        "boot: LED orangepi:red:status: the port controller does not keep what is written to it; not used",
        "boot: starting the app",
    ]);
    guest.assert_well();
}

#[test]
fn what_is_asked_for_and_not_there_is_named() {
    let Some(lab) = Lab::open() else { return };
    let run = |words: &[&str]| {
        let run = [
            "run",
            "thermometer",
            "--board",
            "sunxi",
            "--port",
            "0",
            "--",
        ];
        let mut guest = lab.command(&[&run, words].concat());
        (guest.wait_for_exit(), guest)
    };
    let (code, guest) = run(&["source=i2c", "bus=2", "i2c=2,4"]);
    assert_eq!(code, 1, "{}", guest.console());
    guest.assert_said(&[
        "boot: I2C bus 2: the I2C controller does not keep what is written to it; not used",
        "boot: I2C bus 4, which i2c= asks for: the device tree has none; not used",
        "app: board sunxi has no I2C bus 2 here; it has: none",
    ]);
    let (code, guest) = run(&["i2c=5"]);
    assert_eq!(code, 2, "{}", guest.console());
    guest.assert_said(&["boot argument i2c=5: expected numbers of I2C buses from 0 to 4"]);
}

/// Long answers, many at once, and frames to groups, over a wire that loses nothing.
#[test]
fn its_network_card_bears_load_and_hears_groups() {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    let mut server = match Dnsmasq::new(&lab, &namespace) {
        Ok(server) => server,
        Err(why) => return skip(why),
    };
    server.ipv6 = Some(Ipv6::Advertised);
    server.start();
    let words = ["run", "2048", "--board", "sunxi", "--tap", TAP];
    let mut guest = lab.command_on(&namespace, &words);
    let address = guest.wait_for_its_address();
    // A router tells groups of its prefix.
    let line = guest.wait_for_line("(SLAAC)");
    let six = line
        .split_once("address ")
        .and_then(|(_, it)| it.split_once('/'));
    let six: IpAddr = six.expect("an address").0.parse().expect("of IPv6");
    namespace.run(|| {
        let page = get(address, "/game.wasm");
        for _ in 0..50 {
            let again = get(SocketAddr::new(six, address.port()), "/game.wasm");
            assert!(again.body == page.body, "another page");
        }
        let open = || Connection::open(address).expect("the server listens");
        let mut connections: Vec<Connection> = (0..100).map(|_| open()).collect();
        for connection in &mut connections {
            let answer = connection.request("GET", "/style.css", "");
            assert_eq!(answer.expect("an answer").status, 200);
        }
    });
    guest.assert_well();
}

#[test]
fn a_crash_restarts_it_and_an_end_leaves_it() {
    let Some(lab) = Lab::open() else { return };
    let run = |how: &str| {
        let how = format!("how={how}");
        let words = [
            "run", "crash", "--board", "sunxi", "--port", "0", "--", &how,
        ];
        let mut guest = lab.command(&words);
        let code = guest.wait_for_exit();
        guest.assert_said(&STEPS);
        (code, guest.console())
    };
    let (code, console) = run("panic");
    assert_eq!(code, 101, "{console}");
    assert!(console.contains("boot: restarting"), "{console}");
    assert!(console.contains("planned panic"), "{console}");
    let (code, console) = run("return");
    assert_eq!(code, 0, "{console}");
    assert!(!console.contains("boot: restarting"), "{console}");
}

#[test]
fn a_card_is_the_same_each_time_and_has_what_it_says() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let card = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        let said = lab.card("nanopi-neo", &path, arguments);
        assert!(said.contains("for nanopi-neo"), "{said}");
        std::fs::read(path).expect("it was written")
    };
    let one = card("one.img", &["--arg", "port=81"]);
    assert!(one == card("two.img", &["--arg", "port=81"]), "two cards");
    // The boot ROM's mark (linux-sunxi.org, "EGON"), and the arguments.
    assert_eq!(&one[8196..8204], b"eGON.BT0");
    let text = b"bootargs=port=81\n";
    assert!(one.windows(text.len()).any(|part| part == text));
}

#[test]
fn mistakes_are_named_before_anything_is_built() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let output = folder.path().join("sd.img").display().to_string();
    let refuse = |words: &[&str], hint: &str| {
        let mut tool = lab.command(words);
        assert_ne!(tool.wait_for_exit(), 0, "{words:?}");
        assert!(tool.console().contains(hint), "{}", tool.console());
        assert!(!std::path::Path::new(&output).exists(), "{words:?}");
    };
    let image = |board: &'static str, machine: &'static str| {
        [
            "image",
            "hello",
            "--board",
            board,
            "--machine",
            machine,
            "--output",
            &output,
        ]
        .map(str::to_owned)
    };
    let words = |words: &[String; 8], more: &[&str]| -> Vec<String> {
        let more = more.iter().map(ToString::to_string);
        words.iter().cloned().chain(more).collect()
    };
    for (words, hint) in [
        (
            words(&image("sunxi", "cubieboard9"), &[]),
            "known: orangepi-plus",
        ),
        (
            words(&image("virt", "nanopi-neo"), &[]),
            "add --board sunxi",
        ),
        (
            words(&image("sunxi", "nanopi-neo"), &["--arg", "prot=81"]),
            "port",
        ),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refuse(&words, hint);
    }
    let run = ["run", "hello", "--board", "sunxi", "--memory", "64M"];
    refuse(&run, "--memory is for board virt");
}
