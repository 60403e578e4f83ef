//! Every way in which a guest ends, and what it says then.

#![forbid(unsafe_code)]

use landfall_tests::guest::Machine;
use landfall_tests::{Guest, Lab};

/// The exit code of a panic or exception.
const CRASHED: i32 = 101;

fn crash<'a>(lab: &'a Lab, how: &str) -> Machine<'a> {
    lab.machine("crash").argument(&format!("how={how}"))
}

#[test]
fn a_guest_that_returns_ends_well() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, "return").start();
    assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
    assert!(!guest.console().contains("ERROR"), "{}", guest.console());
}

#[test]
fn copies_of_all_lengths_are_right() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, "copy").start();
    assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
}

#[test]
fn an_error_is_printed_and_ends_with_one() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, "error").start();
    assert_eq!(guest.wait_for_exit(), 1, "{}", guest.console());
    guest.wait_for_line("ERROR app: a planned error");
    guest.wait_for_line("the guest stopped: exit status 1: app: a planned error");
}

/// The place in the guest's source where `code` stands, as backtraces have it.
fn place(code: &str) -> String {
    let source = include_str!("../guests/crash/src/main.rs");
    let line = source.lines().position(|line| line.contains(code));
    let line = line.expect("the guest's source has it") + 1;
    format!("tests/guests/crash/src/main.rs:{line}")
}

fn backtrace(guest: &Guest) -> Vec<String> {
    let console = guest.console();
    console
        .lines()
        .skip_while(|line| *line != "backtrace:")
        .skip(1)
        .map(str::to_owned)
        .collect()
}

/// The backtrace must name this function and place, be it inlined or not.
fn assert_in_backtrace(guest: &Guest, function: &str, place: &str) {
    let named = format!(" {function} ({place})");
    let found = backtrace(guest).iter().any(|line| line.ends_with(&named));
    assert!(
        found,
        "the backtrace does not name{named}:\n{}",
        guest.console()
    );
}

/// The backtrace must have this function and place as the call itself, not as what a neighbouring
/// instruction is inlined in.
fn assert_calls(guest: &Guest, function: &str, place: &str) {
    let named = format!(" {function} ({place})");
    let lines = backtrace(guest);
    let mut calls = lines
        .iter()
        .filter(|line| line.trim_start().starts_with('#') && line.contains(" image+0x"));
    assert!(
        calls.any(|line| line.ends_with(&named)),
        "the backtrace has no call{named}:\n{}",
        guest.console()
    );
}

#[test]
fn a_panic_says_what_and_where() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, "panic").start();
    assert_eq!(guest.wait_for_exit(), CRASHED, "{}", guest.console());
    let console = guest.console();
    let mut lines = console
        .lines()
        .skip_while(|line| !line.starts_with("PANIC:"));
    assert_eq!(
        lines.next(),
        Some("PANIC: planned panic number 7"),
        "{console}"
    );
    let place = place("panic!(\"planned");
    assert!(
        lines
            .next()
            .unwrap_or_default()
            .starts_with(&format!("  at {place}:")),
        "{console}"
    );
    assert_calls(&guest, "{async_fn#0}", &place);
    assert!(
        console.contains("the guest stopped: PANIC: planned panic number 7"),
        "{console}"
    );
}

/// Boots the guest that makes this mistake; returns it when its console has said so.
fn caught(lab: &Lab, how: &str, access: &str, what: &str) -> Guest {
    let mut guest = crash(lab, how).start();
    assert_eq!(
        guest.wait_for_exit(),
        CRASHED,
        "{how}:\n{}",
        guest.console()
    );
    let sentence = guest.wait_for_line("EXCEPTION: ");
    assert!(
        sentence.contains(access) && sentence.ends_with(what),
        "{how}: {sentence}"
    );
    for words in [
        "ESR 0x",
        "FAR 0x",
        "ELR 0x",
        "x0 ",
        "sp ",
        "the guest stopped: EXCEPTION: ",
    ] {
        guest.wait_for_line(words);
    }
    guest
}

#[test]
fn a_stack_overflow_is_caught() {
    let Some(lab) = Lab::open() else { return };
    let what = "the guard page below the stack: stack overflow";
    let mut guest = caught(&lab, "overflow", "write to ", what);
    assert_calls(&guest, "deeper", &place("deeper(depth + 1)"));
    // A hundred calls are one line.
    guest.wait_for_line("more calls from there");
    assert_calls(&guest, "{async_fn#0}", &place("black_box(deeper("));
}

#[test]
fn forbidden_writes_are_caught() {
    let Some(lab) = Lab::open() else { return };
    let cases = [
        ("code", "write to ", "code, which is read-only"),
        (
            "constant",
            "write to ",
            "constants, which are read-only and not executable",
        ),
        (
            "null",
            "write to 0x0, ",
            "the unmapped first page (a null pointer)",
        ),
    ];
    for (how, access, what) in cases {
        let guest = caught(&lab, how, access, what);
        assert_in_backtrace(&guest, "write_to", &place("address.write_volatile"));
    }
}

#[test]
fn crashes_are_reported_at_el2_and_with_gic2_too() {
    let Some(lab) = Lab::open() else { return };
    for options in [
        ["--virtualization", "--gic=3"],
        ["--virtualization", "--gic=2"],
    ] {
        for (how, line) in [
            ("panic", "PANIC: planned"),
            ("null", "EXCEPTION: write to 0x0"),
        ] {
            let mut guest = crash(&lab, how).options(&options).start();
            assert_eq!(
                guest.wait_for_exit(),
                CRASHED,
                "{how} {options:?}:\n{}",
                guest.console()
            );
            guest.wait_for_line(line);
        }
    }
}

/// Nobody takes the exit code: the machine is reset or turned off through its firmware, and the console
/// alone tells.
#[test]
fn without_semihosting_a_guest_still_ends() {
    let Some(lab) = Lab::open() else { return };
    for machine in ["virt", "virt,virtualization=on"] {
        let mut guest = lab.bare("crash", "how=panic", &["-M", machine]);
        assert_eq!(
            guest.wait_for_exit(),
            0,
            "{machine}: -no-reboot turns a reset into an end:\n{}",
            guest.console()
        );
        guest.wait_for_line("PANIC: planned panic number 7");
        guest.wait_for_line("backtrace:");
        let mut guest = lab.bare("crash", "how=null", &["-M", machine]);
        assert_eq!(guest.wait_for_exit(), 0, "{machine}:\n{}", guest.console());
        guest.wait_for_line("EXCEPTION: write to 0x0");
        for how in ["error", "return"] {
            let mut guest = lab.bare("crash", &format!("how={how}"), &["-M", machine]);
            assert_eq!(
                guest.wait_for_exit(),
                0,
                "{machine} {how}:\n{}",
                guest.console()
            );
            assert!(
                !guest.console().contains("EXCEPTION"),
                "{}",
                guest.console()
            );
        }
    }
}
