//! Board `sunxi` as a user runs it: on an emulated Allwinner H3, from reset, through Debian's SPL and U-Boot, from an SD
//! card; and on an emulated A10, with a device tree of Debian's.

#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use landfall_tests::dnsmasq::Ipv6;
use landfall_tests::guest::words_of;
use landfall_tests::http::{get, info};
use landfall_tests::network::{TAP, ping};
use landfall_tests::{Connection, Dnsmasq, Guest, Lab, Namespace, Prompt, Qmp, skip};

/// The machines, as the tool calls them, and their CPUs.
const H3: &str = "orangepi-plus";
const A10: &str = "cubieboard";

/// What is said on the way, in this order.
fn steps(machine: &str) -> &'static [&'static str] {
    if machine == H3 { &H3_STEPS } else { &A10_STEPS }
}

const H3_STEPS: [&str; 9] = [
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

const A10_STEPS: [&str; 7] = [
    "boot: Landfall ",
    "boot: mapping memory, switching the MMU on",
    "boot: A10 interrupt controller ready",
    "boot: setting up the Ethernet controller",
    "boot: Ethernet ",
    "boot: starting the watchdog: ",
    "boot: starting the app",
];

/// Starts an app with the tool's words for the machine, and more.
fn run(lab: &Lab, app: &str, machine: &str, more: &[&str]) -> Guest {
    let words = ["run", app, "--board", "sunxi", "--machine", machine];
    lab.command(&[&words, more].concat())
}

#[test]
fn a_card_starts_the_game_by_u_boot() {
    serves_the_game(H3, "Cortex-A7");
}

#[test]
fn an_a10_serves_the_game() {
    serves_the_game(A10, "Cortex-A8");
}

fn serves_the_game(machine: &str, cpu: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = run(&lab, "2048", machine, &["--port", "0"]);
    let address = guest.wait_until_open();
    guest.assert_said(steps(machine));
    guest.wait_for_line("(DHCP)");
    assert!(get(address, "/").text().contains("<title>2048"));
    let told = info(address);
    assert_eq!(
        (&told["board"], &told["cpu"]),
        (&"sunxi".into(), &cpu.into()),
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
    bears_load_and_hears_groups(H3);
}

#[test]
fn the_network_card_of_an_a10_bears_load_and_hears_groups() {
    bears_load_and_hears_groups(A10);
}

fn bears_load_and_hears_groups(machine: &str) {
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
    let words = [
        "run",
        "2048",
        "--board",
        "sunxi",
        "--machine",
        machine,
        "--tap",
        TAP,
    ];
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
        for length in [1, 56, 1400] {
            ping(address, length);
            ping(SocketAddr::new(six, 0), length);
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
    ends_as_it_is_told(H3);
}

#[test]
fn a_crash_restarts_an_a10_and_an_end_leaves_it() {
    ends_as_it_is_told(A10);
}

fn ends_as_it_is_told(machine: &str) {
    let Some(lab) = Lab::open() else { return };
    let end = |how: &str| {
        let how = format!("how={how}");
        let mut guest = run(&lab, "crash", machine, &["--port", "0", "--", &how]);
        let code = guest.wait_for_exit();
        guest.assert_said(steps(machine));
        (code, guest.console())
    };
    let (code, console) = end("panic");
    assert_eq!(code, 101, "{console}");
    assert!(console.contains("boot: restarting"), "{console}");
    assert!(console.contains("planned panic"), "{console}");
    let (code, console) = end("return");
    assert_eq!(code, 0, "{console}");
    assert!(!console.contains("boot: restarting"), "{console}");
    // Well, if memory copies of all lengths are right.
    let (code, console) = end("copy");
    assert_eq!(code, 0, "{console}");
}

/// What an app tries, and what is said of it.
const PROTECTED: [(&str, &str); 4] = [
    ("overflow", "the guard page below the stack: stack overflow"),
    ("code", ", code, which is read-only"),
    ("constant", ", constants, which are read-only"),
    ("null", "the unmapped first page (a null pointer)"),
];

/// The older translation tables protect what the newer ones do, and their faults are told apart as well.
#[test]
fn memory_of_an_a10_is_protected() {
    let Some(lab) = Lab::open() else { return };
    for (how, sentence) in PROTECTED {
        let how = format!("how={how}");
        let mut guest = run(&lab, "crash", A10, &["--port", "0", "--", &how]);
        assert_eq!(guest.wait_for_exit(), 101, "{how}");
        let console = guest.console();
        assert!(console.contains(sentence), "{how}: {console}");
    }
}

/// The device tree that the tool gives to QEMU for an A10, and QEMU's words besides.
fn a10_tree(lab: &Lab) -> Vec<u8> {
    let mut guest = run(lab, "hello", A10, &["--port", "0"]);
    guest.wait_until_open();
    let words = words_of("qemu-system-arm", guest.pid()).expect("it runs in QEMU");
    let place = words.iter().position(|word| word == "-dtb");
    let path = &words[place.expect("it is given a device tree") + 1];
    std::fs::read(path).expect("QEMU has read it")
}

/// A device tree in which what is compatible with `name` goes by another name.
fn without(mut tree: Vec<u8>, name: &str) -> Vec<u8> {
    let name = format!("{name}\0");
    let place = tree
        .windows(name.len())
        .position(|it| it == name.as_bytes());
    tree[place.expect("it has one")..][..5].copy_from_slice(b"other");
    tree
}

/// The A10 with a device tree of our own; more words for QEMU.
fn a10(lab: &Lab, app: &str, tree: &std::path::Path, more: &[&str]) -> Guest {
    let image = lab.image(app, "sunxi").display().to_string();
    let tree = tree.display().to_string();
    let words = ["-M", "cubieboard", "-kernel", &image, "-dtb", &tree];
    lab.qemu("qemu-system-arm", &[&words, more].concat())
}

#[test]
fn what_a_device_tree_lacks_is_said_and_what_follows() {
    let Some(lab) = Lab::open() else { return };
    let tree = a10_tree(&lab);
    let folder = lab.folder();
    for (node, sentences) in [
        (
            "allwinner,sun4i-a10-emac",
            [
                "boot: the device tree has no Ethernet controller that is known here: no network",
                "boot: stopped with code 1",
            ],
        ),
        (
            "allwinner,sun4i-a10-ccu",
            [
                "boot: the device tree has no clocks for the Ethernet controller; not used",
                "boot: stopped with code 1",
            ],
        ),
        (
            "allwinner,sun4i-a10-wdt",
            [
                "boot: the device tree has no watchdog: a hang would last",
                "listening on TCP port 8080",
            ],
        ),
        (
            "allwinner,sun4i-a10-ic",
            [
                "boot: the device tree has no interrupt controller that is known here: nothing would wake the CPU",
                "boot: stopped with code 1",
            ],
        ),
        (
            "allwinner,sun4i-a10-timer",
            [
                "boot: the device tree has no timer that is known here: time would stand still",
                "boot: stopped with code 1",
            ],
        ),
    ] {
        let path = folder.path().join("tree.dtb");
        std::fs::write(&path, without(tree.clone(), node)).expect("the folder is ours");
        let mut guest = a10(&lab, "hello", &path, &["-nic", "user"]);
        for sentence in sentences {
            guest.wait_for_line(sentence);
        }
    }
}

/// An A20 has EMAC and another controller at the same pins, and device trees name the other. U-Boot makes such a tree of an
/// A10's, which has EMAC at the same address. (The pins are not there in QEMU.)
#[test]
fn the_other_controllers_pins_are_taken() {
    let Some(lab) = Lab::open() else { return };
    let Some(u_boot) = std::env::var_os("LANDFALL_U_BOOT") else {
        return skip("there is no U-Boot; `cargo landfall test` fetches it");
    };
    let folder = lab.folder();
    let path = folder.path().join("tree.dtb");
    std::fs::write(&path, a10_tree(&lab)).expect("the folder is ours");
    let place = format!(
        "loader,file={},addr=0x43000000,force-raw=on",
        path.display()
    );
    let u_boot = u_boot.to_string_lossy();
    let machine = ["-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "1G"];
    let words = ["-bios", &u_boot, "-nic", "none", "-device", &place];
    let mut prompt = Prompt::start(&lab, &folder, &[&machine[..], &words].concat());
    for line in [
        "fdt addr 0x43000000",
        "fdt resize 4096",
        "fdt set /soc/ethernet@1c0b000 status disabled",
        "fdt mknod /soc ethernet@1c50000",
        "fdt set /soc/ethernet@1c50000 compatible allwinner,sun7i-a20-gmac",
        "fdt set /soc/ethernet@1c50000 reg <0x01c50000 0x10000>",
        "fdt set /soc/ethernet@1c50000 phy-mode mii",
        "fdt set /soc/ethernet@1c50000 local-mac-address [02 00 00 00 00 09]",
    ] {
        let said = prompt.run(line);
        assert!(!said.contains("libfdt") && !said.contains("rror"), "{said}");
    }
    std::fs::write(&path, prompt.memory("0x43000000", 0x10000)).expect("the folder is ours");
    let mut guest = a10(&lab, "hello", &path, &["-nic", "user"]);
    guest.wait_for_line("boot: taking the pins of GMAC");
    guest.wait_for_line("boot: Ethernet 02:00:00:00:00:09, PHY ");
    guest.wait_for_line("(DHCP)");
    guest.wait_for_line("listening on TCP port 8080");
    guest.assert_well();
}

/// The A10's counter begins anew each 179 s, and nothing else keeps the time: it goes on without a jump. (That none is
/// lost at such a moment, the guest's own clock cannot tell: see the driver's tests.)
#[test]
fn time_goes_on_over_many_rounds_of_the_timer() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let path = folder.path().join("tree.dtb");
    std::fs::write(&path, a10_tree(&lab)).expect("the folder is ours");
    // What is slept takes no time of ours.
    let words = ["-icount", "shift=6,sleep=off", "-nic", "user"];
    let words = [&words[..], &["-append", "how=clock"]].concat();
    let mut guest = a10(&lab, "crash", &path, &words);
    guest.wait_for_line("[ 1000.");
    let console = guest.console();
    let seconds: Vec<f64> = console
        .lines()
        .filter(|line| line.contains("what time it is"))
        .map(|line| line[1..13].trim().parse().expect("the time since boot"))
        .collect();
    for pair in seconds.windows(2) {
        let passed = pair[1] - pair[0];
        assert!((0.99..1.1).contains(&passed), "{pair:?}");
    }
    assert!(seconds.len() > 900, "{}", seconds.len());
}

#[test]
fn without_a_link_it_says_so_and_asks_for_an_address_when_there_is_one() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let card = folder.path().join("sd.img");
    lab.card(H3, &card, &[]);
    let drive = format!("file={},format=raw,if=sd", card.display());
    finds_its_link(&lab, |more| {
        let words = ["-M", "orangepi-pc", "-drive", &drive];
        lab.qemu("qemu-system-arm", &[&words, more].concat())
    });
}

#[test]
fn without_a_link_an_a10_says_so_and_asks_for_an_address_when_there_is_one() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let tree = folder.path().join("tree.dtb");
    std::fs::write(&tree, a10_tree(&lab)).expect("the folder is ours");
    finds_its_link(&lab, |more| a10(&lab, "hello", &tree, more));
}

fn finds_its_link(lab: &Lab, start: impl FnOnce(&[&str]) -> Guest) {
    const NO_LINK: &str = "boot: Ethernet has no link: is the cable plugged in?";
    let folder = lab.folder();
    let qmp = Qmp::words(folder.path());
    let [stopped, option, socket] = qmp.each_ref().map(String::as_str);
    let mut guest = start(&["-nic", "user,id=net0", stopped, option, socket]);
    let mut qmp = Qmp::connect(folder.path());
    qmp.set_link("net0", false);
    qmp.go();
    guest.wait_for_line(NO_LINK);
    assert!(!guest.console().contains("(DHCP)"), "{}", guest.console());
    qmp.set_link("net0", true);
    guest.wait_for_line("the network link is up");
    guest.wait_for_line("(DHCP)");
    qmp.set_link("net0", false);
    guest.wait_for_line("the network link is down");
    let console = guest.console();
    assert_eq!(console.matches(NO_LINK).count(), 1, "{console}");
    guest.assert_well();
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
    let run = ["run", "hello", "--board", "sunxi", "--machine"];
    refuse(
        &[&run[..], &["orangepi-zero"]].concat(),
        "QEMU plays no orangepi-zero",
    );
    let run = ["run", "hello", "--board", "virt", "--machine", A10];
    refuse(&run, "--machine is for board sunxi");
}
