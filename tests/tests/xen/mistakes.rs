//! Domains that cannot work: the console says which part, and what to check.

use landfall_tests::XenHost;

const PRESERVE: [&str; 1] = ["on_crash = \"preserve\""];

#[test]
fn without_a_card_the_console_says_how_to_give_one() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host
        .domain("cardless", "hello")
        .memory(16)
        .bridges(&[])
        .settings(&PRESERVE)
        .create();
    domain.wait_for_line("no network card: give the domain one with vif=['bridge=xenbr0']");
    domain.wait_for_line("this app needs a network device");
    domain.wait_for_state('c');
}

#[test]
fn without_dhcp_the_console_says_so_and_a_static_address_works() {
    let Some(host) = XenHost::open() else { return };
    let mut asking = host
        .domain("asking", "hello")
        .memory(16)
        .bridges(&["xenbr2"])
        .create();
    let complaint = asking.wait_for_line("no DHCP answer yet");
    assert!(complaint.contains("or give ip="), "{complaint}");
    let mut fixed = host
        .domain("told", "hello")
        .memory(16)
        .bridges(&["xenbr2"])
        .arguments(&["ip=10.78.0.5/24"])
        .create();
    fixed.wait_for_line("http://10.78.0.5:8080/");
    crate::networks::dom0_gets(&host, "10.78.0.5");
}

#[test]
fn a_key_that_xenstore_lacks_is_named() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host
        .domain("keyless", "hello")
        .memory(16)
        .settings(&PRESERVE)
        .create_paused();
    let number = domain.number();
    let key = "device/vif/0/mac";
    host.shell(&format!("xenstore-rm /local/domain/{number}/{key}"));
    domain.xl("unpause");
    let complaint = domain.wait_for_line("vif 0 cannot be used");
    assert!(complaint.contains(key), "{complaint}");
    domain.wait_for_state('c');
}

/// Hosts that run every board's guests have nothing to refuse.
#[test]
fn an_image_for_a_cpu_that_the_host_does_not_run_is_refused_by_name() {
    let Some(host) = XenHost::open() else { return };
    let all = ["xenvm", "cubieboard2"];
    let runs =
        |board: &&str| *board == host.board() || host.other_boards().iter().any(|it| it == board);
    for board in all.iter().filter(|board| !runs(board)) {
        let complaint = host.domain("foreign", "hello").board(board).complaint();
        assert!(
            complaint.contains("is an image for aarch64") && complaint.contains("of armhf"),
            "{complaint}"
        );
    }
}

#[test]
fn memory_that_has_no_room_for_the_image_is_too_little() {
    let Some(host) = XenHost::open() else { return };
    let complaint = host.domain("tiny", "hello").memory(1).complaint();
    assert!(complaint.contains("too little memory"), "{complaint}");
}
