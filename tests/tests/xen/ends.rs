//! Every way in which a domain ends, and what Xen hears of it.

use landfall_tests::{DEADLINE, XenHost, wait_until};

use crate::page;

/// `SHUTDOWN_watchdog` of Xen's `public/sched.h`.
const WATCHDOG: i32 = 4;

#[test]
fn a_reboot_makes_it_anew() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host.domain("reboot", "hello").memory(16).create();
    let address = domain.wait_until_it_is_reached();
    let number = domain.number();
    domain.xl("reboot");
    assert_eq!(domain.wait_for_end(), 1, "{}", domain.console());
    assert_eq!(page(address).text(), "hello\n");
    assert!(domain.number() > number, "it is another domain");
}

#[test]
fn a_destroyed_domain_is_gone() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host.domain("destroyed", "hello").memory(16).create();
    domain.wait_until_it_listens();
    domain.xl("destroy");
    // Nobody has asked it.
    assert_eq!(domain.wait_for_end(), 100, "{}", domain.console());
    domain.wait_until_it_is_gone();
}

#[test]
fn a_panic_is_a_crash_with_a_backtrace() {
    let Some(host) = XenHost::open() else { return };
    let settings = ["on_crash = \"preserve\""];
    let mut domain = host
        .domain("panic", "crash")
        .bridges(&[])
        .arguments(&["how=panic"])
        .settings(&settings)
        .create();
    domain.wait_for_line("PANIC: planned panic number 7");
    domain.wait_for_line("  at tests/guests/crash/src/main.rs:");
    domain.wait_for_line("backtrace:");
    domain.wait_for_state('c');
}

#[test]
fn a_crashed_domain_is_restarted_if_that_is_configured() {
    let Some(host) = XenHost::open() else { return };
    let settings = ["on_crash = \"restart\""];
    let domain = host
        .domain("again", "crash")
        .bridges(&[])
        .arguments(&["how=panic"])
        .settings(&settings)
        .create();
    // What later domains of this name print goes to the same file.
    let boots = "grep -c 'boot: Landfall' /var/log/xen/console/guest-again.log";
    wait_until("its third boot", DEADLINE, || {
        let boots: u32 = host.shell(boots).trim().parse().expect("a number");
        (boots >= 3).then_some(())
    });
    // Without its `xl`, which waits in the background, it is not made once more while it is destroyed.
    host.shell("kill $(ps | awk '/[x]l create .*again/ { print $1 }')");
    drop(domain);
}

#[test]
fn a_hang_trips_the_watchdog() {
    let Some(host) = XenHost::open() else { return };
    let settings = ["on_watchdog = \"destroy\""];
    let mut domain = host
        .domain("hung", "crash")
        .bridges(&[])
        .arguments(&["how=spin"])
        .settings(&settings)
        .create();
    assert_eq!(domain.wait_for_end(), WATCHDOG, "{}", domain.console());
}

#[test]
fn a_guest_that_returns_or_fails_says_so_to_xen() {
    let Some(host) = XenHost::open() else { return };
    for (name, how, reason) in [("returned", "how=return", 0), ("failed", "how=error", 3)] {
        let mut domain = host
            .domain(name, "crash")
            .bridges(&[])
            .arguments(&[how])
            .create();
        assert_eq!(domain.wait_for_end(), reason, "{}", domain.console());
    }
}
