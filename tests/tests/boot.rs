//! The shipped images on the machines that they may meet, and the boot arguments that they get.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use landfall_tests::lab::free_port;
use landfall_tests::{Guest, Lab, Qmp, http, on_each_machine};

/// What every boot says before the app runs.
const STEPS: [&str; 6] = [
    "boot: Landfall ",
    "boot: mapping memory, switching the MMU on",
    "boot: heap of ",
    "boot: setting up the interrupt controller",
    "boot: setting up the virtio network card",
    "boot: starting the app",
];

on_each_machine! {
    a_link_that_goes_and_comes_is_noticed
    virtios_older_register_layout_serves
}

fn assert_serves(app: &str, address: SocketAddr) {
    let response = http::get(address, "/");
    match app {
        "hello" => assert_eq!(response.text(), "hello\n"),
        "2048" => {
            assert_eq!(
                response.field("Content-Type"),
                Some("text/html; charset=utf-8")
            );
            assert!(
                response.text().starts_with("<!doctype html>"),
                "{}",
                response.text()
            );
            assert!(
                response.text().contains("<title>2048"),
                "{}",
                response.text()
            );
        }
        other => panic!("what does {other} serve?"),
    }
}

/// Boots a shipped image with these options of the tool; it must serve. Returns what it printed.
fn serves(lab: &Lab, board: &str, app: &str, options: &[&str]) -> String {
    let mut guest = lab.machine(app).board(board).options(options).start();
    let address = guest.wait_until_it_listens();
    assert_serves(app, address);
    guest.assert_said(&STEPS);
    guest.assert_well();
    guest.console()
}

/// Declares a boot test for each row. Together the rows have each pair of interrupt controller, exception
/// level, memory, source of the address and app; each CPU meets both controllers and both levels.
macro_rules! machines {
    ($board:literal: $($name:ident: $app:literal, gic $gic:literal, $level:literal, $memory:literal, $cpu:literal, $address:literal;)+) => {$(
        #[test]
        fn $name() {
            let Some(lab) = Lab::open() else { return };
            let mut options = vec!["--gic", stringify!($gic), "--memory", $memory, "--cpu", $cpu];
            if matches!($level, "EL2" | "HYP") {
                options.push("--virtualization");
            }
            if $address == "static" {
                options.extend(["--arg", "ip=10.0.2.15/24", "--arg", "gateway=10.0.2.2"]);
            }
            let console = serves(&lab, $board, $app, &options);
            let expected = [
                concat!("GICv", stringify!($gic), " ready"),
                concat!("address 10.0.2.15/24, gateway 10.0.2.2 (", $address, ")"),
                "listening on TCP port 8080: http://10.0.2.15:8080/",
                match $cpu {
                    "cortex-a57" => "Cortex-A57",
                    "cortex-a72" => "Cortex-A72",
                    "cortex-a7" => "Cortex-A7,",
                    "cortex-a15" => "Cortex-A15",
                    _ => "board virt",
                },
                match $memory {
                    "2G" => " 2048 MiB of RAM",
                    other => other.trim_end_matches('M'),
                },
            ];
            for words in expected {
                assert!(console.contains(words), "{words:?} is missing:\n{console}");
            }
        }
    )+};
}

machines! {
    "virt-armv7":
    armv7_smallest_memory: "2048", gic 2, "SVC", "8M", "cortex-a7", "DHCP";
    armv7_sixteen_mib_hyp: "hello", gic 2, "HYP", "16M", "cortex-a7", "static";
    armv7_sixteen_mib_a15: "2048", gic 2, "SVC", "16M", "cortex-a15", "static";
    armv7_default_memory_a15_hyp: "2048", gic 2, "HYP", "64M", "cortex-a15", "DHCP";
    armv7_default_memory_gic3: "hello", gic 3, "SVC", "64M", "cortex-a15", "DHCP";
    armv7_two_gib: "hello", gic 2, "SVC", "2G", "cortex-a7", "static";
    armv7_two_gib_hyp: "2048", gic 2, "HYP", "2G", "cortex-a7", "DHCP";
}

machines! {
    "virt":
    smallest_memory_gic2: "2048", gic 2, "EL1", "8M", "cortex-a57", "DHCP";
    smallest_memory_gic3_el2: "hello", gic 3, "EL2", "8M", "cortex-a72", "static";
    sixteen_mib_gic2: "hello", gic 2, "EL1", "16M", "max", "static";
    sixteen_mib_gic3_el2: "2048", gic 3, "EL2", "16M", "max", "DHCP";
    default_memory_gic2_el2: "hello", gic 2, "EL2", "64M", "cortex-a72", "DHCP";
    default_memory_gic3: "2048", gic 3, "EL1", "64M", "cortex-a57", "static";
    two_gib_gic2_el2: "2048", gic 2, "EL2", "2G", "cortex-a57", "static";
    two_gib_gic3: "hello", gic 3, "EL1", "2G", "cortex-a72", "DHCP";
}

#[test]
fn the_tool_boots_the_image_that_is_shipped() {
    let Some(lab) = Lab::open() else { return };
    for app in ["2048", "hello"] {
        let mut guest = lab.machine(app).start();
        guest.wait_until_it_listens();
        let made =
            std::fs::read(guest.folder().path().join(format!("{app}.img"))).expect("it was booted");
        let shipped = std::fs::read(lab.image(app, "virt")).expect("it was built");
        assert!(
            made == shipped,
            "{app}: {} bytes were booted, {} are shipped",
            made.len(),
            shipped.len()
        );
        // Linux Documentation/arch/arm64/booting.rst, "Call the kernel image".
        assert_eq!(&shipped[56..60], b"ARM\x64", "{app}");
    }
}

/// QEMU's words for a network whose guest port 8080 is at `port` of this machine.
fn network(port: u16) -> Vec<String> {
    let netdev = format!("user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:8080");
    let words = [
        "-netdev",
        &netdev,
        "-device",
        "virtio-net-device,netdev=net0",
    ];
    let modern = ["-global", "virtio-mmio.force-legacy=false"];
    words
        .iter()
        .chain(&modern)
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_second_core_is_left_alone() {
    let Some(lab) = Lab::open() else { return };
    let port = free_port();
    let image = lab.image("2048", "virt").display().to_string();
    let network = network(port);
    let mut words = vec![
        "-M",
        "virt,gic-version=2",
        "-cpu",
        "cortex-a57",
        "-smp",
        "2",
        "-m",
        "64M",
        "-kernel",
        &image,
    ];
    words.extend(network.iter().map(String::as_str));
    let mut guest = lab.qemu("qemu-system-aarch64", &words);
    guest.wait_for_line("listening on TCP port");
    assert_serves("2048", ([127, 0, 0, 1], port).into());
    guest.assert_said(&STEPS);
    guest.assert_well();
}

/// The image is loaded in the middle of RAM by something that is no boot loader for Linux: three
/// instructions set x0 to the device tree and jump.
#[test]
fn an_image_runs_wherever_it_is_loaded() {
    /// movz x0, #0x4000, lsl #16: QEMU puts the device tree at the start of RAM.
    /// movz x4, #0x4220, lsl #16: the image, at a multiple of 2 MiB.
    /// br x4
    const TRAMPOLINE: [u32; 3] = [0xd2a8_0000, 0xd2a8_4404, 0xd61f_0080];
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let trampoline = folder.path().join("trampoline");
    std::fs::write(&trampoline, TRAMPOLINE.map(u32::to_le_bytes).concat())
        .expect("the folder is ours");
    let image = format!(
        "loader,file={},addr=0x42200000,force-raw=on",
        lab.image("2048", "virt").display()
    );
    let start = format!(
        "loader,file={},addr=0x43000000,force-raw=on,cpu-num=0",
        trampoline.display()
    );
    let port = free_port();
    let network = network(port);
    let mut words = vec![
        "-M",
        "virt,gic-version=3",
        "-cpu",
        "cortex-a57",
        "-m",
        "64M",
    ];
    words.extend(["-device", &image, "-device", &start]);
    words.extend(network.iter().map(String::as_str));
    let mut guest = lab.qemu("qemu-system-aarch64", &words);
    guest.wait_for_line("listening on TCP port");
    assert_serves("2048", ([127, 0, 0, 1], port).into());
    guest.assert_well();
}

#[test]
fn the_log_is_as_detailed_as_asked() {
    let Some(lab) = Lab::open() else { return };
    for level in ["debug", "trace"] {
        let console = serves(&lab, "virt", "hello", &["--arg", &format!("log={level}")]);
        assert!(console.contains("INFO  net: listening"), "{console}");
    }
    // Nothing to wait for on the console: it answers, and has said nothing.
    let mut guest = lab.machine("hello").argument("log=error").start();
    guest.wait_for_line("open http://");
    assert_serves("hello", guest.address());
    assert!(!guest.console().contains("INFO"), "{}", guest.console());
}

#[test]
fn an_app_listens_where_it_is_told() {
    let Some(lab) = Lab::open() else { return };
    let console = serves(&lab, "virt", "hello", &["--arg", "port=81"]);
    assert!(
        console.contains("listening on TCP port 81: http://10.0.2.15:81/"),
        "{console}"
    );
}

/// Boot arguments that are wrong on a machine, and what the console must say.
const WRONG_ARGUMENTS: [(&[&str], &str); 8] = [
    (
        &["prot=80"],
        "unknown boot argument `prot`; known are: port, log, ip, gateway",
    ),
    (
        &["port=65536"],
        "port=65536: expected a number from 0 to 65535",
    ),
    (&["port="], "port=: expected a number"),
    (&["port=1", "port=2"], "`port` is given twice"),
    (
        &["ip=10.0.2.15"],
        "ip=10.0.2.15: expected an address with its network's prefix",
    ),
    (&["ip=10.0.2.300/24"], "ip=10.0.2.300/24: expected"),
    (&["gateway=10.0.2.2"], "gateway=10.0.2.2: expected"),
    (
        &["log=loud"],
        "log=loud: expected off, error, warn, info, debug or trace",
    ),
];

fn assert_refused(mut guest: Guest, sentence: &str) {
    assert_eq!(guest.wait_for_exit(), 2, "{sentence}:\n{}", guest.console());
    let console = guest.console();
    let errors: Vec<&str> = console
        .lines()
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert!(
        errors.iter().any(|line| line.contains(sentence)),
        "{sentence:?} is missing:\n{console}"
    );
    assert!(!console.contains("listening"), "{console}");
}

#[test]
fn wrong_boot_arguments_are_named_and_stop_a_machine() {
    let Some(lab) = Lab::open() else { return };
    for (arguments, sentence) in WRONG_ARGUMENTS {
        let network = network(free_port());
        let line = arguments.join(" ");
        let mut words = vec!["-append", line.as_str()];
        words.extend(SEMIHOSTING);
        words.extend(network.iter().map(String::as_str));
        assert_refused(lab.virt("virt", "hello", &words), sentence);
    }
}

#[test]
fn the_tool_refuses_wrong_boot_arguments_before_it_boots() {
    let Some(lab) = Lab::open() else { return };
    for board in ["virt", "virt-armv7"] {
        for (words, sentence) in [
            (["prot=80"], "did you mean `port`?"),
            (
                ["log=net=loud"],
                "log=net=loud: expected off, error, warn, info, debug or trace",
            ),
            (
                ["ip=10.0.2.15"],
                "ip=10.0.2.15: expected an address with its network's prefix",
            ),
        ] {
            let machine = lab.machine("hello").board(board);
            let mut guest = words
                .iter()
                .fold(machine, |it, word| it.argument(word))
                .start();
            assert_eq!(guest.wait_for_exit(), 2, "{}", guest.console());
            let console = guest.console();
            assert!(console.contains(sentence), "{sentence:?}:\n{console}");
            assert!(!console.contains("boot: "), "it was booted:\n{console}");
        }
    }
}

#[test]
fn the_tool_lists_boot_arguments_of_elf_files_and_of_flat_images() {
    let Some(lab) = Lab::open() else { return };
    for board in ["virt", "virt-armv7", "xenvm", "cubieboard2"] {
        for file in [lab.image("hello", board), lab.elf("hello", board)] {
            // The tool writes an image beside an ELF file: a copy has a place of its own.
            let folder = lab.folder();
            let copy = folder.path().join(file.file_name().expect("a file"));
            std::fs::copy(&file, &copy).expect("the folder is ours");
            let copy = copy.display().to_string();
            let mut guest = lab.command(&["run-image", &copy, "--", "--help"]);
            assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
            for words in [
                ["port", "u16", "8080", "TCP port to listen on"],
                ["log", "LogFilter", "info", "what is logged"],
            ] {
                let line = guest.wait_for_line(words[3]);
                let found = words.iter().all(|word| line.contains(word));
                assert!(found, "{line}");
            }
            assert!(!guest.console().contains("boot: "), "{}", guest.console());
        }
    }
}

#[test]
fn each_module_logs_as_much_as_it_is_told() {
    let Some(lab) = Lab::open() else { return };
    for board in ["virt", "virt-armv7"] {
        for (filter, has_requests, has_network) in [
            ("net=debug", false, true),
            ("http=debug", true, true),
            ("net=off,http=debug", true, false),
            ("error,net=info", false, true),
        ] {
            let machine = lab.machine("hello").board(board);
            let mut guest = machine.argument(&format!("log={filter}")).start();
            guest.wait_for_line("open http://");
            assert_serves("hello", guest.address());
            guest.assert_well();
            let console = guest.console();
            assert_eq!(
                console.contains("DEBUG http: "),
                has_requests,
                "{filter}:\n{console}"
            );
            assert_eq!(
                console.contains("INFO  net: "),
                has_network,
                "{filter}:\n{console}"
            );
        }
    }
}

#[test]
fn wrong_boot_arguments_are_named_and_stop_a_process() {
    let Some(lab) = Lab::open() else { return };
    let cases: [(&[&str], &str); 5] = [
        (
            &["prot=80"],
            "unknown boot argument `prot`; known are: port, log",
        ),
        (
            &["log=loud"],
            "log=loud: expected off, error, warn, info, debug or trace",
        ),
        (&["port=2"], "`port` is given twice"),
        (&["verbose"], "`verbose` is not of the form key=value"),
        (&["=1"], "`=1` is not of the form key=value"),
    ];
    for (arguments, sentence) in cases {
        assert_refused(lab.process("hello", arguments), sentence);
    }
}

const SEMIHOSTING: [&str; 2] = ["-semihosting-config", "enable=on,target=native"];

#[test]
fn words_without_a_key_stop_a_machine() {
    let Some(lab) = Lab::open() else { return };
    assert_refused(
        lab.bare("virt", "hello", "verbose", &SEMIHOSTING),
        "`verbose` is not of the form key=value",
    );
}

#[test]
fn help_lists_the_boot_arguments() {
    let Some(lab) = Lab::open() else { return };
    for mut guest in [
        lab.bare("virt", "hello", "help", &SEMIHOSTING),
        lab.process("hello", &["--help"]),
    ] {
        assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
        for key in ["  port: u16 = 8080", "  log: LogFilter = info"] {
            assert!(
                guest.console().contains(key),
                "{key} is missing:\n{}",
                guest.console()
            );
        }
    }
}

#[test]
fn an_app_without_its_network_ends_with_a_sentence() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.bare("virt", "hello", "log=info", &SEMIHOSTING);
    assert_eq!(guest.wait_for_exit(), 1, "{}", guest.console());
    guest.wait_for_line("boot: no network card");
    guest.wait_for_line("this app needs a network device, and none was found on board virt");
}

#[test]
fn two_network_cards_are_no_trouble() {
    let Some(lab) = Lab::open() else { return };
    let port = free_port();
    let network = network(port);
    let mut words = vec![
        "-netdev",
        "user,id=net1",
        "-device",
        "virtio-net-device,netdev=net1,mac=52:54:00:12:34:57",
    ];
    words.extend(network.iter().map(String::as_str));
    let mut guest = lab.virt("virt", "hello", &words);
    guest.wait_for_line("one more network card");
    guest.wait_for_line("listening on TCP port");
    guest.assert_well();
}

#[test]
fn an_image_for_the_other_cpu_says_so() {
    let Some(lab) = Lab::open() else { return };
    for (board, program, cpu, sentence) in [
        (
            "virt",
            "qemu-system-arm",
            "cortex-a7",
            "this image is for aarch64, and this CPU runs ARMv7 code",
        ),
        (
            "virt-armv7",
            "qemu-system-aarch64",
            "cortex-a57",
            "this image is for ARMv7, and this CPU runs aarch64 code",
        ),
    ] {
        let image = lab.image("hello", board).display().to_string();
        let machine = ["-M", "virt", "-cpu", cpu, "-m", "64M", "-nic", "none"];
        let words = [&machine[..], &["-kernel", &image]].concat();
        lab.qemu(program, &words).wait_for_line(sentence);
    }
}

#[test]
fn an_image_for_guests_of_xen_says_so_where_there_is_none() {
    let Some(lab) = Lab::open() else { return };
    for board in ["xenvm", "cubieboard2"] {
        let mut guest = lab.bare(board, "hello", "log=info", &SEMIHOSTING);
        guest.wait_for_line("this image is for guests of Xen, and this machine is none");
        assert_eq!(guest.wait_for_exit(), 1, "{}", guest.console());
    }
}

#[test]
fn memory_that_has_no_room_for_a_device_tree_is_too_little() {
    let Some(lab) = Lab::open() else { return };
    let machine = lab.machine("hello").board("virt-armv7");
    let mut guest = machine.options(&["--memory", "1M"]).start();
    assert_eq!(guest.wait_for_exit(), 1, "{}", guest.console());
    guest.wait_for_line("has the machine enough memory?");
}

/// QEMU's words for a network card.
const CARD: [&str; 2] = ["-device", "virtio-net-device,netdev=net0"];

fn a_link_that_goes_and_comes_is_noticed(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let qmp = Qmp::words(folder.path());
    let qmp = qmp.each_ref().map(String::as_str);
    let modern = ["-global", "virtio-mmio.force-legacy=false"];
    let network = ["-netdev", "user,id=net0"];
    let words = [&CARD[..], &network, &modern, &qmp].concat();
    let mut guest = lab.virt(board, "hello", &words);
    let mut qmp = Qmp::connect(folder.path());
    qmp.set_link("net0", false);
    qmp.go();
    guest.wait_for_line("boot: starting the app");
    qmp.set_link("net0", true);
    guest.wait_for_line("the network link is up");
    guest.wait_for_line("(DHCP)");
    qmp.set_link("net0", false);
    guest.wait_for_line("the network link is down");
    guest.assert_well();
}

/// QEMU's own choice for virtio-mmio: a header without a number of buffers, queues by page numbers.
fn virtios_older_register_layout_serves(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let port = free_port();
    let network = format!("user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:8080");
    let random = ["-device", "virtio-rng-device"];
    let words = [&CARD[..], &["-netdev", &network], &random].concat();
    let mut guest = lab.virt(board, "hello", &words);
    guest.wait_for_line("listening on TCP port");
    guest.assert_said(&["entropy: the virtio device: good"]);
    assert_serves("hello", ([127, 0, 0, 1], port).into());
    guest.assert_well();
}
