//! What must hold on hosts with either interrupt controller: one domain from its first line to its last.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use landfall_tests::http::info;
use landfall_tests::{Connection, XenHost};

use crate::page;

/// How long the domain is paused. Timers and TCP have to bear it.
const PAUSE: Duration = Duration::from_secs(10);

/// How far the clocks of this machine, the host and the guest may be apart.
const CLOCKS_S: u64 = 120;

#[test]
fn a_domain_serves_its_page_bears_a_pause_and_shuts_down() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host.domain("whole", "2048").create();
    let address = domain.wait_until_it_is_reached();
    domain.wait_for_line("guest of Xen 4.");
    domain.wait_for_line("(DHCP)");
    assert!(page(address).text().contains("2048"));

    let told = info(address);
    assert_eq!(told["board"], host.board(), "{told}");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
        .as_secs();
    let guests = told["unix_seconds"].as_u64();
    let guests = guests.unwrap_or_else(|| panic!("no time of day: {told}"));
    assert!(guests.abs_diff(now) < CLOCKS_S, "it is {now}, not {guests}");

    let mut connection = Connection::open(address).expect("it listens");
    let request = |connection: &mut Connection| connection.request("GET", "/api/info", "");
    request(&mut connection).expect("an answer");
    let before = uptime(&told);
    domain.xl("pause");
    assert!(domain.state().contains('p'), "{}", domain.state());
    std::thread::sleep(PAUSE);
    domain.xl("unpause");
    let after = request(&mut connection).expect("the connection is still there");
    assert!(
        uptime(&after.json()) >= before + PAUSE,
        "the clock stood still: {}",
        after.text()
    );
    page(address);
    // With nothing to do it is blocked and costs its host nothing.
    domain.wait_for_state('b');

    domain.xl("shutdown");
    assert_eq!(domain.wait_for_end(), 0, "{}", domain.console());
    domain.wait_for_line("asked to end: poweroff");
    domain.wait_until_it_is_gone();
}

/// How long the guest has run, by its own clock.
fn uptime(info: &serde_json::Value) -> Duration {
    let uptime = info["uptime_ms"].as_u64().map(Duration::from_millis);
    uptime.unwrap_or_else(|| panic!("no uptime: {info}"))
}
