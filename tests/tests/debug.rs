//! `cargo landfall debug` and `cargo landfall trace`: gdb finds functions and lines, and files hold frames.

#![forbid(unsafe_code)]

use std::path::Path;

use landfall_tests::http::get;
use landfall_tests::lab::{free_port, has_program};
use landfall_tests::network::{GUEST, GUEST_MAC, TAP};
use landfall_tests::{Guest, Lab, Namespace, XenHost, skip};
use nix::sys::signal::Signal;

/// Where `hello` asks for the network, as gdb takes and prints it.
fn line() -> String {
    let source = include_str!("../../apps/hello/src/main.rs");
    let before = source
        .split("system.network()")
        .next()
        .expect("a first part");
    format!("main.rs:{}", before.lines().count())
}

/// Lets gdb work without a person; returns what it printed.
fn batch(lab: &Lab, board: &str, commands: &[&str]) -> String {
    let mut words = vec![
        "debug", "hello", "--board", board, "--port", "0", "--", "-nx", "-batch",
    ];
    words.extend(commands.iter().flat_map(|command| ["-ex", command]));
    let mut command = lab.command(&words);
    let code = command.wait_for_exit();
    assert_eq!(code, 0, "{}", command.console());
    command.console()
}

/// Fails unless the lines come in this order.
fn assert_in_order(console: &str, needles: &[&str]) {
    let mut rest = console;
    for needle in needles {
        let (_, after) = rest
            .split_once(needle)
            .unwrap_or_else(|| panic!("{needle:?} is missing after the others:\n{console}"));
        rest = after;
    }
}

fn on_machine(board: &str) {
    let Some(lab) = Lab::open() else { return };
    if !has_program("gdb-multiarch") {
        return skip("there is no gdb-multiarch");
    }
    let commands = ["break landfall_start", "continue", "backtrace", "delete 1"];
    let line = line();
    let stop = format!("break {line}");
    let console = batch(
        &lab,
        board,
        &[&commands[..], &[&stop, "continue", "backtrace"]].concat(),
    );
    let stops = [
        "Breakpoint 1, landfall_start () at apps/hello/src/main.rs:",
        "#1 ",
        " in entry ()",
        "boot: Landfall",
        "Breakpoint 2",
        &format!("apps/hello/src/{line}"),
        "at runtime/src/app.rs:",
        "at runtime/src/executor.rs:",
    ];
    assert_in_order(&console, &stops);
}

#[test]
fn gdb_knows_the_functions_and_lines_of_an_image() {
    on_machine("virt");
}

#[test]
fn gdb_knows_the_functions_and_lines_of_an_armv7_image() {
    on_machine("virt-armv7");
}

#[test]
fn gdb_knows_the_functions_and_lines_of_a_process() {
    let Some(lab) = Lab::open() else { return };
    if !has_program("gdb-multiarch") {
        return skip("there is no gdb-multiarch");
    }
    let line = line();
    let console = batch(
        &lab,
        "unix",
        &[&format!("break {line}"), "run", "backtrace"],
    );
    let line = format!("apps/hello/src/{line}");
    assert_in_order(&console, &[&line, "at runtime/src/executor.rs:", "main ()"]);
}

#[test]
fn a_guest_waits_for_a_debugger_that_is_told_how_to_come() {
    let Some(lab) = Lab::open() else { return };
    if !has_program("gdb-multiarch") {
        return skip("there is no gdb-multiarch");
    }
    let port = free_port();
    let wait = format!("--wait={port}");
    let mut guest = lab.command(&["debug", "hello", &wait, "--port", "0"]);
    let line = guest.wait_for_line("the guest waits for: ");
    assert!(!guest.console().contains("boot:"), "{}", guest.console());
    let (_, gdb) = line.split_once("for: ").expect("gdb's words");
    let mut debugger = lab.supervised("sh");
    debugger.args([
        "-c",
        &format!("exec {gdb} -nx -batch -ex 'info symbol landfall_start' -ex detach"),
    ]);
    let output = debugger.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("landfall_start in section .text"), "{said}");
    // Without its debugger it goes on.
    guest.wait_until_open();
    guest.signal(Signal::SIGINT);
    assert_eq!(guest.wait_for_exit(), 130, "{}", guest.console());
}

/// The frames in a pcap file (pcap-savefile(5)), of this machine's byte order.
fn frames(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).expect("the file is there");
    let word = |at: usize| {
        let field = bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_ne_bytes(field)
    };
    assert_eq!(word(0), 0xa1b2_c3d4, "the magic number");
    assert_eq!(word(20), 1, "Ethernet");
    let mut frames = Vec::new();
    let mut at = 24;
    while at + 16 <= bytes.len() {
        let length = word(at + 8) as usize;
        assert_eq!(word(at + 12) as usize, length, "whole frames");
        frames.push(bytes[at + 16..at + 16 + length].to_vec());
        at += 16 + length;
    }
    frames
}

/// Ends a trace; returns the frames in its file, which are as many as it says.
fn finish(mut guest: Guest, file: &Path) -> Vec<Vec<u8>> {
    guest.signal(Signal::SIGINT);
    assert_eq!(guest.wait_for_exit(), 130, "{}", guest.console());
    let frames = frames(file);
    let counted = format!("{} frames in ", frames.len());
    assert!(
        guest.console().contains(&counted),
        "{counted}:\n{}",
        guest.console()
    );
    frames
}

/// Fails unless a page was asked for and given in these frames.
fn assert_conversation(frames: &[Vec<u8>], mac: &[u8; 6]) {
    let text = |frame: &[u8], text: &[u8]| frame.windows(text.len()).any(|part| part == text);
    let asked = |frame: &&Vec<u8>| frame.starts_with(mac) && text(frame, b"GET / HTTP/1.1");
    let answered = |frame: &&Vec<u8>| frame[6..].starts_with(mac) && text(frame, b"hello\n");
    assert!(frames.iter().any(|frame| asked(&frame)), "no request");
    assert!(frames.iter().any(|frame| answered(&frame)), "no answer");
}

#[test]
fn qemus_frames_are_kept() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    for board in ["virt", "virt-armv7"] {
        let file = folder.path().join(format!("{board},1.pcap"));
        let name = file.display().to_string();
        let words = [
            "trace", "hello", "--board", board, "--port", "0", "--output", &name,
        ];
        let mut guest = lab.command(&words);
        guest.wait_until_open();
        assert_conversation(&finish(guest, &file), &GUEST_MAC);
    }
}

/// From dom0, at the guest's vif: the first frames are there, too.
#[test]
fn frames_of_a_guest_of_xen_are_kept() {
    let Some(host) = XenHost::open() else { return };
    let folder = host.lab().folder();
    let file = folder.path().join("xen.pcap");
    let name = file.display().to_string();
    let board = host.board();
    let words = [
        "trace", "hello", "--board", board, "--port", "0", "--output", &name,
    ];
    let mut guest = host.lab().command(&words);
    guest.wait_until_open();
    let line = guest.wait_for_line("network card: vif 0, ");
    let frames = finish(guest, &file);
    let mac = mac_in(&line);
    assert_conversation(&frames, &mac);
    let asks_for_an_address = |frame: &Vec<u8>| {
        // To UDP port 67 (RFC 2131, 4.1), behind the headers of Ethernet and IPv4.
        frame[6..].starts_with(&mac) && frame.get(36..38) == Some(&[0, 67])
    };
    assert!(frames.iter().any(asks_for_an_address), "no DHCP");
}

/// The hardware address in a line of the boot log.
fn mac_in(line: &str) -> [u8; 6] {
    let bytes = line.split([' ', ',']).find_map(|word| {
        let bytes: Result<Vec<u8>, _> = word
            .split(':')
            .map(|it| u8::from_str_radix(it, 16))
            .collect();
        bytes.ok()?.try_into().ok()
    });
    bytes.unwrap_or_else(|| panic!("no address in {line:?}"))
}

#[test]
fn frames_on_a_tap_are_kept() {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    let folder = lab.folder();
    for board in ["unix", "virt"] {
        let file = folder.path().join(format!("{board}.pcap"));
        let (name, address) = (file.display().to_string(), format!("ip={GUEST}/24"));
        let mut words = vec![
            "trace", "hello", "--board", board, "--tap", TAP, "--output", &name,
        ];
        words.extend(["--arg", &address]);
        if board == "unix" {
            words.extend(["--arg", "mac=52:54:00:12:34:56"]);
        }
        let mut guest = lab.command_on(&namespace, &words);
        guest.wait_until_open();
        assert_eq!(
            namespace.run(|| get(namespace.guest(), "/")).text(),
            "hello\n"
        );
        assert_conversation(&finish(guest, &file), &GUEST_MAC);
    }
}
