//! Every way in which a guest ends, and what it says then.

#![forbid(unsafe_code)]

use landfall_tests::guest::Machine;
use landfall_tests::{Guest, Lab, on_each_machine};

/// The exit code of a panic or exception.
const CRASHED: i32 = 101;

on_each_machine! {
    a_guest_that_returns_ends_well
    copies_of_all_lengths_are_right
    an_error_is_printed_and_ends_with_one
    a_panic_says_what_and_where
    a_crash_reports_the_log_lines_that_were_not_shown
    a_stack_overflow_is_caught
    forbidden_writes_are_caught
    crashes_are_reported_where_hypervisors_run_too
    without_semihosting_a_guest_still_ends
}

fn crash<'a>(lab: &'a Lab, board: &'a str, how: &str) -> Machine<'a> {
    let machine = lab.machine("crash").board(board);
    machine.argument(&format!("how={how}"))
}

fn a_guest_that_returns_ends_well(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, board, "return").start();
    assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
    assert!(!guest.console().contains("ERROR"), "{}", guest.console());
}

fn copies_of_all_lengths_are_right(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, board, "copy").start();
    assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
}

fn an_error_is_printed_and_ends_with_one(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, board, "error").start();
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

fn a_panic_says_what_and_where(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = crash(&lab, board, "panic").start();
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

fn a_crash_reports_the_log_lines_that_were_not_shown(board: &str) {
    const TITLE: &str = "log lines that were not shown:";
    let Some(lab) = Lab::open() else { return };
    for (how, arguments, reported) in [
        ("panic", vec![], true),
        ("null", vec![], true),
        ("panic", vec!["log=crash=debug"], false),
        ("panic", vec!["history=info"], false),
    ] {
        let machine = crash(&lab, board, how);
        let mut guest = arguments
            .iter()
            .fold(machine, |it, word| it.argument(word))
            .start();
        assert_eq!(guest.wait_for_exit(), CRASHED, "{}", guest.console());
        let console = guest.console();
        let report = console.split_once(TITLE).map(|(_, report)| report);
        assert_eq!(
            report.is_some(),
            reported,
            "{how} {arguments:?}:\n{console}"
        );
        if let Some(report) = report {
            assert!(
                report.contains(&format!("DEBUG crash: about to {how}")),
                "{console}"
            );
            assert!(!report.contains("INFO"), "{console}");
        }
    }
}

/// Boots the guest that makes this mistake; returns it when its console has said so.
fn caught(lab: &Lab, board: &str, how: &str, access: &str, what: &str) -> Guest {
    let mut guest = crash(lab, board, how).start();
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
    let registers = match board {
        "virt" => ["ESR 0x", "ELR 0x", "x0 "],
        _ => ["FSR 0x", "PC 0x", "r0 "],
    };
    let others = ["FAR 0x", "sp ", "the guest stopped: EXCEPTION: "];
    for words in registers.into_iter().chain(others) {
        guest.wait_for_line(words);
    }
    guest
}

fn a_stack_overflow_is_caught(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let what = "the guard page below the stack: stack overflow";
    let mut guest = caught(&lab, board, "overflow", "write to ", what);
    assert_calls(&guest, "deeper", &place("deeper(depth + 1)"));
    // A hundred calls are one line.
    guest.wait_for_line("more calls from there");
    assert_calls(&guest, "{async_fn#0}", &place("black_box(deeper("));
}

fn forbidden_writes_are_caught(board: &str) {
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
        let guest = caught(&lab, board, how, access, what);
        assert_in_backtrace(&guest, "write_to", &place("address.write_volatile"));
    }
}

fn crashes_are_reported_where_hypervisors_run_too(board: &str) {
    let Some(lab) = Lab::open() else { return };
    for options in [
        ["--virtualization", "--gic=3"],
        ["--virtualization", "--gic=2"],
    ] {
        for (how, line) in [
            ("panic", "PANIC: planned"),
            ("null", "EXCEPTION: write to 0x0"),
        ] {
            let mut guest = crash(&lab, board, how).options(&options).start();
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
fn without_semihosting_a_guest_still_ends(board: &str) {
    let Some(lab) = Lab::open() else { return };
    for machine in ["virt", "virt,virtualization=on"] {
        let mut guest = lab.bare(board, "crash", "how=panic", &["-M", machine]);
        assert_eq!(
            guest.wait_for_exit(),
            0,
            "{machine}: -no-reboot turns a reset into an end:\n{}",
            guest.console()
        );
        guest.wait_for_line("PANIC: planned panic number 7");
        guest.wait_for_line("backtrace:");
        let mut guest = lab.bare(board, "crash", "how=null", &["-M", machine]);
        assert_eq!(guest.wait_for_exit(), 0, "{machine}:\n{}", guest.console());
        guest.wait_for_line("EXCEPTION: write to 0x0");
        for how in ["error", "return"] {
            let mut guest = lab.bare(board, "crash", &format!("how={how}"), &["-M", machine]);
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
