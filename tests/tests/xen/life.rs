//! Domains that live: little and much memory, the console's input, and what is left when many have gone.

use landfall_tests::http::get;
use landfall_tests::lab::{Folder, copy_of_workspace};
use landfall_tests::{XenHost, xen::wait_slowly};

use crate::page;

/// How often a domain is created and destroyed.
const TIMES: u32 = 20;

/// Memory that Xen may keep, in MiB: the tables of its own heap are not given back one by one.
const KEPT_MIB: u64 = 1;

#[test]
fn little_and_much_memory_do() {
    let Some(host) = XenHost::open() else { return };
    for (name, mebibytes) in [("mib8", 8), ("mib16", 16), ("mib256", 256)] {
        let mut domain = host.domain(name, "2048").memory(mebibytes).create();
        domain.wait_for_line(&format!("{mebibytes} MiB of RAM"));
        let address = domain.wait_until_it_is_reached();
        assert!(page(address).text().contains("2048"));
    }
}

#[test]
fn a_domain_has_a_simulated_thermometer() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host.domain("warm", "thermometer").create();
    let address = domain.wait_until_it_is_reached();
    assert!(page(address).text().contains("<title>Thermometer"));
    let told = get(address, "/api/history").json();
    assert_eq!(
        (&told["board"], &told["source"]),
        (&host.board().into(), &"simulated".into())
    );
    assert!(told["readings"][0]["celsius"].is_f64(), "{told}");
}

/// The book goes through all of it with the other boards.
#[test]
fn an_app_that_new_has_made_is_a_guest() {
    let Some(host) = XenHost::open() else { return };
    let folder = Folder::elsewhere();
    copy_of_workspace(folder.path());
    let board = host.board();
    let images = folder.path().join("images");
    let made = images.join(board).display().to_string();
    for words in [
        &["new", "greeter"][..],
        &["build", "greeter", "--board", board, "--output", &made],
    ] {
        let mut command = host.lab().supervised(host.lab().tool());
        command.args(words).current_dir(folder.path());
        command.env("CARGO_TARGET_DIR", host.lab().target_of_copies());
        let output = command.output().expect("the tool can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", words.join(" "));
    }
    let mut domain = host.domain("greeter", "greeter").images(images).create();
    let address = domain.wait_until_it_is_reached();
    page(address);
    assert_eq!(get(address, "/Xen").text(), "Hello, Xen!\n");
}

#[test]
fn what_is_typed_on_the_console_arrives() {
    let Some(host) = XenHost::open() else { return };
    let mut domain = host
        .domain("echo", "crash")
        .bridges(&[])
        .arguments(&["how=echo"])
        .create();
    domain.wait_for_line("say something");
    let tty = format!(
        "$(xenstore-read /local/domain/{}/console/tty)",
        domain.number()
    );
    host.shell(&format!("printf 'one and two\\r' > {tty}"));
    domain.wait_for_line("the console says \"one and two\"");
    // More than the ring holds at once would take (`XENCONS_RING_IN` is 1024 bytes).
    let long = "x".repeat(900);
    host.shell(&format!("printf '{long}\\r' > {tty}"));
    domain.wait_for_line(&format!("the console says \"{long}\""));
    host.shell(&format!("printf 'end\\r' > {tty}"));
    assert_eq!(domain.wait_for_end(), 0, "{}", domain.console());
}

/// What dom0 and Xen hold.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    /// Grants of dom0's and of other domains' tables.
    grants: usize,
    /// Event channels of dom0.
    channels: usize,
    interfaces: String,
    /// xenstore's list.
    domains: String,
    free_mib: u64,
}

impl Holdings {
    fn of(host: &XenHost) -> Self {
        // The keys make Xen write tables into its log, from the line that names the key.
        let last = |key: char, from: &str| {
            host.shell(&format!(
                "xl debug-keys {key}; xl dmesg | tac | sed '/{from}/q' | tac"
            ))
        };
        let grants = last('g', "gnttab_usage_print_all \\[ key");
        let channels = last('e', "pressed -> dumping event-channel info");
        let numbered = |line: &&str| line.contains("]: s=");
        let dom0s = channels
            .lines()
            .take_while(|line| !line.contains("for domain 1"))
            .filter(numbered)
            .count();
        let free = host.shell("xl info free_memory");
        Self {
            grants: grants.lines().filter(|it| it.contains("[0x")).count(),
            channels: dom0s,
            interfaces: host.shell("ls /sys/class/net"),
            domains: host.shell("xenstore-list /local/domain"),
            free_mib: free.trim().parse().expect("xl prints a number"),
        }
    }

    /// Returns whether nothing is left of what was not there `before`.
    fn are_back_at(&self, before: &Self) -> bool {
        let rounded = Self {
            free_mib: before.free_mib,
            interfaces: self.interfaces.clone(),
            domains: self.domains.clone(),
            ..*self
        };
        rounded == *before && self.free_mib + KEPT_MIB >= before.free_mib
    }
}

#[test]
fn twenty_domains_leave_nothing_behind() {
    let Some(host) = XenHost::open() else { return };
    // An address of its own saves the time of DHCP.
    let options = host
        .domain("brief", "hello")
        .memory(16)
        .arguments(&["ip=10.0.2.60/24"]);
    // The first leaves what every host keeps, such as pages of Xen's heap.
    let mut first = options.create();
    first.wait_until_it_listens();
    let with_one = Holdings::of(&host);
    drop(first);
    let before = settled(&host);
    assert!(
        with_one.grants > before.grants && with_one.channels > before.channels,
        "a domain that lives is not seen: {with_one:?}, without {before:?}"
    );
    let log = "/var/log/xen/console/guest-brief.log";
    let config = "/root/guests/brief/config.xl";
    // One command for all: each by itself would spend most of its time on the way to dom0.
    host.shell(&format!(
        "for time in $(seq {TIMES}); do rm -f {log}; xl create {config} >/dev/null 2>&1 || exit 1; \
         timeout 60 bash -c \"until grep -q 'listening on' {log}; do usleep 100000; done\" || exit 1; \
         xl destroy brief || exit 1; done"
    ));
    let after = wait_slowly("what 20 domains held is given back", || {
        let now = Holdings::of(&host);
        let back = now.are_back_at(&before);
        if !back {
            eprintln!("still held: {now:?}, before {before:?}");
        }
        back.then_some(now)
    });
    eprintln!("before {before:?}, after {after:?}");
}

/// The holdings once two looks in a row see the same.
fn settled(host: &XenHost) -> Holdings {
    let mut last = Holdings::of(host);
    wait_slowly("dom0 is at rest", || {
        let now = Holdings::of(host);
        let same = now == last;
        last = now;
        same.then_some(())
    });
    last
}

#[test]
fn two_domains_share_a_page_and_take_it_back() {
    let Some(host) = XenHost::open() else { return };
    share(&host, host.board(), host.board());
}

/// The other way round is seen when the other board comes first.
#[test]
fn domains_of_two_cpus_share_a_page_and_take_it_back() {
    let Some(host) = XenHost::open() else { return };
    for other in host.other_boards() {
        share(&host, host.board(), other);
    }
}

/// A domain with the image for one board offers, one with that for the other takes.
fn share(host: &XenHost, offering: &str, taking: &str) {
    let names = ["offers", "takes"].map(|it| format!("{it}-{offering}-{taking}"));
    let domain = |name, board| host.domain(name, "share").board(board).memory(8);
    let mut offers = domain(&names[0], offering).create();
    let from = format!("from={}", offers.number());
    let arguments = [from.as_str()];
    let mut takes = domain(&names[1], taking).arguments(&arguments).create();
    host.shell(&format!(
        "xenstore-write /local/domain/{}/data/peer {}",
        offers.number(),
        takes.number()
    ));
    takes.wait_for_line("refused: ");
    takes.wait_for_line("all mappings are gone");
    assert_eq!(takes.wait_for_end(), 0, "{}", takes.console());
    offers.wait_for_line("is kept while it is in use");
    offers.wait_for_line("all grants are taken back");
    assert_eq!(offers.wait_for_end(), 0, "{}", offers.console());
}
