//! The command line where things go wrong: names, ports, files, guests, and the user's patience.

#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use landfall_tests::guest::{children, program};
use landfall_tests::lab::skip;
use landfall_tests::{DEADLINE, Guest, Lab, wait_until};
use nix::sys::signal::Signal;

/// What a shell sees after Ctrl-C: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Runs a command that must fail; returns what it printed.
fn fails(lab: &Lab, words: &[&str]) -> String {
    let mut command = lab.command(words);
    let code = command.wait_for_exit();
    let console = command.console();
    assert!(code != 0, "{words:?} should fail:\n{console}");
    assert!(!console.contains("panicked"), "{words:?}:\n{console}");
    console
}

#[test]
fn a_wrong_name_is_answered_with_the_known_ones() {
    let Some(lab) = Lab::open() else { return };
    for command in ["run", "build"] {
        let console = fails(&lab, &[command, "helo"]);
        for words in [
            "no app \"helo\"",
            "did you mean \"hello\"?",
            "known apps: 2048, hello",
        ] {
            assert!(
                console.contains(words),
                "{command}: {words:?} is missing:\n{console}"
            );
        }
        let console = fails(&lab, &[command, "hello", "--board", "vrit"]);
        for words in [
            "no board \"vrit\"",
            "did you mean \"virt\"?",
            "known boards: cubieboard2, sunxi, unix, virt",
        ] {
            assert!(
                console.contains(words),
                "{command}: {words:?} is missing:\n{console}"
            );
        }
    }
    let console = fails(&lab, &["run", "raspberry"]);
    assert!(!console.contains("did you mean"), "{console}");
}

/// By the runner in `.cargo/config.toml`, without the command; in a debug build too.
#[test]
fn a_plain_cargo_run_boots() {
    const TARGET: &str = "aarch64-unknown-none";
    let Some(lab) = Lab::open() else { return };
    if !has_target(TARGET) {
        return skip("rustc has no core library for aarch64-unknown-none");
    }
    let words = ["--quiet", "--package", "hello", "--target", TARGET];
    // The time that the build takes is no concern of this test.
    let build = Command::new("cargo").arg("build").args(words).status();
    assert!(build.expect("cargo starts").success());
    let run = [&["run"], &words[..], &["--", "--port", "0"]].concat();
    let mut guest = lab.cargo(&run);
    guest.wait_for_line("open http://127.0.0.1:");
    guest.signal(Signal::SIGINT);
    assert_eq!(guest.wait_for_exit(), INTERRUPTED, "{}", guest.console());
}

/// Returns whether the user's rustc can build for `target` by itself.
fn has_target(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    let output = rustc
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        output.status.success() && Path::new(folder.trim()).is_dir()
    })
}

#[test]
fn guests_of_the_tests_are_not_offered() {
    let Some(lab) = Lab::open() else { return };
    let mut command = lab.command(&["apps"]);
    assert_eq!(command.wait_for_exit(), 0, "{}", command.console());
    let console = command.console();
    assert!(
        console.contains("2048") && console.contains("hello"),
        "{console}"
    );
    assert!(!console.contains("crash"), "{console}");
}

#[test]
fn a_port_in_use_is_named() {
    let Some(lab) = Lab::open() else { return };
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for board in ["virt", "unix"] {
        let console = fails(&lab, &["run", "hello", "--board", board, "--port", &port]);
        assert!(
            console.contains(&format!("port {port} ")),
            "{board}:\n{console}"
        );
        assert!(
            console.contains("--port"),
            "{board} gives no advice:\n{console}"
        );
    }
}

#[test]
fn a_broken_file_is_not_booted() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let good = std::fs::read(lab.elf("hello", "virt")).expect("it was built");
    let mut no_code = good.clone();
    // The number of program headers (ELF-64, e_phnum).
    no_code[56..58].fill(0);
    let foreign = std::fs::read(lab.executable("hello")).expect("it was built");
    let files: [(&str, &[u8]); 6] = [
        ("empty", &[]),
        ("text", b"not an ELF file at all"),
        ("header", &good[..40]),
        ("half", &good[..good.len() / 20]),
        ("no-code", &no_code),
        ("foreign", &foreign),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("the folder is ours");
        let path = path.display().to_string();
        let console = fails(&lab, &["run-image", &path, "--port", "0"]);
        assert!(console.contains("error: "), "{name}:\n{console}");
        assert!(console.contains(&path), "{name} is not named:\n{console}");
        assert!(!console.contains("boot:"), "{name} was booted:\n{console}");
    }
    let console = fails(&lab, &["run-image", "/no/such/file.elf", "--port", "0"]);
    assert!(console.contains("/no/such/file.elf"), "{console}");
}

#[test]
fn wrong_options_are_explained() {
    let Some(lab) = Lab::open() else { return };
    let cases: [(&[&str], &str); 19] = [
        (&["run", "hello", "--memory", "64M"], "--board virt"),
        (
            &["run", "hello", "--board", "virt", "--memory", "lots"],
            "such as 6M",
        ),
        (
            &["run", "hello", "--board", "virt", "--arg", "novalue"],
            "key=value",
        ),
        (&["run", "hello", "--board", "virt", "--gic", "5"], "--gic"),
        (&["run", "hello", "--tap", "no-such-tap"], "ip tuntap add"),
        (
            &["run", "hello", "--tap", "tap0", "--port", "81"],
            "-- port=PORT",
        ),
        (
            &["run", "hello", "--tap", "sixteen-letters-"],
            "at most 15 letters",
        ),
        (&["debug", "helo"], "did you mean \"hello\"?"),
        (&["debug", "hello", "--board", "xenvm"], "--board virt,"),
        (
            &["debug", "hello", "--board", "cubieboard2"],
            "--board virt-armv7,",
        ),
        (
            &["debug", "hello", "--board", "unix", "--wait"],
            "--wait is for machines",
        ),
        (&["trace", "hello"], "--output"),
        (
            &["trace", "hello", "--output", "/no/such/folder/a.pcap"],
            "cannot write /no/such/folder/a.pcap",
        ),
        (
            &["trace", "hello", "--board", "unix", "--output", "a.pcap"],
            "add --tap NAME",
        ),
        (&["soak", "--board", "sunxi"], "go onto a card"),
        (&["soak", "--tap"], "--tap is for board unix"),
        (
            &["soak", "--board", "unix", "--memory", "16M"],
            "--memory is for machines",
        ),
        (&["rum", "hello"], "run"),
        (&["run"], "<APP>"),
    ];
    for (words, advice) in cases {
        let console = fails(&lab, words);
        assert!(
            console.contains(advice),
            "{words:?}: {advice:?} is missing:\n{console}"
        );
    }
}

#[test]
fn a_machine_that_qemu_does_not_know_is_an_error() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.machine("hello").options(&["--cpu", "z80"]).start();
    assert_ne!(guest.wait_for_exit(), 0, "{}", guest.console());
    guest.wait_for_line("error: the guest could not be started");
    assert!(guest.console().contains("z80"), "{}", guest.console());
}

#[test]
fn too_little_memory_is_an_error_within_the_deadline() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab
        .machine("2048")
        .options(&["--memory", "1M", "--timeout", "5"])
        .start();
    assert_ne!(guest.wait_for_exit(), 0, "{}", guest.console());
    assert!(
        guest.console().contains("memory"),
        "no advice:\n{}",
        guest.console()
    );
}

/// The processes below a guest's, once QEMU is one of them.
fn machines(guest: &Guest) -> Vec<u32> {
    wait_until("QEMU below the tool", DEADLINE, || {
        let children = children(guest.pid());
        let started = children
            .iter()
            .any(|child| program(*child).is_some_and(|name| name.starts_with("qemu")));
        started.then_some(children)
    })
}

fn assert_gone(processes: &[u32]) {
    wait_until("the end of QEMU", DEADLINE, || {
        processes
            .iter()
            .all(|process| program(*process).is_none())
            .then_some(())
    });
}

#[test]
fn a_guest_that_never_answers_is_given_up() {
    let Some(lab) = Lab::open() else { return };
    let start = Instant::now();
    let mut guest = lab
        .machine("crash")
        .argument("how=hang")
        .options(&["--timeout", "3"])
        .start();
    let processes = machines(&guest);
    assert_ne!(guest.wait_for_exit(), 0, "{}", guest.console());
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "it was given up early:\n{}",
        guest.console()
    );
    guest.wait_for_line("the guest did not answer within");
    // What it said last, and what to try.
    let advice = guest.wait_for_line("error: ");
    assert!(
        advice.contains("its last line was ") && advice.contains("; try "),
        "{advice}"
    );
    assert_gone(&processes);
}

#[test]
fn ctrl_c_ends_the_guest() {
    let Some(lab) = Lab::open() else { return };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut guest = lab.machine("hello").start();
        guest.wait_until_it_listens();
        let processes = machines(&guest);
        guest.signal(signal);
        assert_eq!(
            guest.wait_for_exit(),
            INTERRUPTED,
            "{signal}:\n{}",
            guest.console()
        );
        // At once: the tool waits for what it ends.
        for process in processes {
            assert_eq!(
                program(process),
                None,
                "{signal}: process {process} is left over"
            );
        }
        assert!(!guest.console().contains("panicked"), "{}", guest.console());
    }
}

/// As in `cargo landfall run hello --board virt 2>&1 | head`.
#[test]
fn who_stops_reading_ends_the_guest() {
    let Some(lab) = Lab::open() else { return };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let folder = lab.folder();
    let elf = lab.elf_in(&folder, "hello", "virt");
    let mut tool = lab.supervised(lab.tool());
    tool.arg("run-image").arg(&elf).args(["--port", "0"]);
    tool.stdout(writer.try_clone().expect("a pipe"))
        .stderr(writer);
    let mut child = tool.spawn().expect("the tool starts");
    // It has the ends that are written to.
    drop(tool);
    let mut console = String::new();
    let mut lines = BufReader::new(reader);
    while !console.contains("Landfall") {
        assert_ne!(lines.read_line(&mut console).expect("text"), 0, "{console}");
    }
    let processes = children(child.id());
    assert!(!processes.is_empty(), "no QEMU runs:\n{console}");
    drop(lines);
    let status = wait_until("the tool's end", DEADLINE, || {
        child.try_wait().expect("a child")
    });
    assert_eq!(status.code(), Some(INTERRUPTED));
    assert_gone(&processes);
}

#[test]
fn a_tool_that_is_killed_takes_the_guest_along() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.machine("hello").start();
    guest.wait_until_it_listens();
    let processes = machines(&guest);
    guest.signal(Signal::SIGKILL);
    guest.wait_for_status();
    assert_gone(&processes);
}

#[test]
fn the_url_is_printed_once_the_guest_answers() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.machine("hello").start();
    let line = guest.wait_for_line("open http://");
    assert_eq!(line, format!("open http://{}/", guest.address()));
    // It has answered the tool already: the first attempt succeeds.
    let answer = landfall_tests::http::ask(guest.address(), "GET", "/").expect("the guest answers");
    assert_eq!(answer.text(), "hello\n");
}

/// What `new` makes, and that it works, the book shows (tests/book.rs).
#[test]
fn a_new_app_takes_no_name_that_is_taken() {
    let Some(lab) = Lab::open() else { return };
    for (name, why) in [
        ("hello", "a package hello already"),
        ("Hello", "small letters"),
        ("", "small letters"),
    ] {
        let mut new = lab.command(&["new", name]);
        assert_eq!(new.wait_for_exit(), 1, "{name}: {}", new.console());
        assert!(new.console().contains(why), "{name}: {}", new.console());
    }
}

#[test]
fn the_parts_of_an_image_add_up() {
    let Some(lab) = Lab::open() else { return };
    for board in ["virt", "virt-armv7"] {
        let mut size = lab.command(&["size", "hello", "--board", board, "--json"]);
        assert_eq!(size.wait_for_exit(), 0, "{}", size.console());
        let console = size.console();
        let json = console.lines().find(|line| line.starts_with('{'));
        let content: serde_json::Value =
            serde_json::from_str(json.expect("an object")).expect("JSON");
        let crates = content["crates"].as_array().expect("a list");
        let bytes = |part: &serde_json::Value| {
            part["code"].as_u64().expect("bytes") + part["data"].as_u64().expect("bytes")
        };
        let sum: u64 = crates.iter().map(bytes).sum();
        assert_eq!(Some(sum), content["bytes"].as_u64(), "{console}");
        let stack = crates.iter().find(|part| part["name"] == "smoltcp");
        assert!(stack.is_some_and(|part| bytes(part) > 10_000), "{console}");
    }
    let console = fails(&lab, &["size", "hello", "--board", "unix"]);
    assert!(console.contains("add --board virt"), "{console}");
    let console = fails(&lab, &["size", "hello", "--with", "ipv4"]);
    assert!(console.contains("known parts: dns, ipv6, "), "{console}");
}
