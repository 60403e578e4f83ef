//! Where machines take the time of day and their random numbers from, source by source, and what they say when one
//! is missing, wrong or hostile.

#![forbid(unsafe_code)]

use landfall_tests::{Guest, Lab, http, on_each_machine};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

on_each_machine! {
    without_a_source_of_entropy_a_machine_says_so_loudly
    a_seed_in_the_device_tree_is_a_good_source
    a_virtio_device_is_a_good_source
    a_virtio_device_that_is_stuck_does_not_count
    a_virtio_device_that_never_answers_does_not_hold_up_the_boot
    the_pl031_gives_the_time_of_day
    a_pl031_that_was_never_set_is_not_believed
    the_time_of_day_can_be_given
    a_time_that_is_none_is_named
    without_a_clock_the_time_is_unknown_and_a_server_can_tell_it
    an_answer_is_found_among_others_and_may_be_of_the_next_era
    a_server_that_does_not_know_the_time_is_not_believed_and_asked_again
    a_server_that_denies_is_asked_no_more
}

const SEMIHOSTING: [&str; 2] = ["-semihosting-config", "enable=on,target=native"];
/// Without `rng-seed`.
const NO_SEED: [&str; 2] = ["-M", "virt,dtb-randomness=off"];
const MODERN: [&str; 2] = ["-global", "virtio-mmio.force-legacy=false"];

/// Runs the guest that says random numbers, to its end; returns what it printed.
fn random(board: &str, more: &[&str]) -> String {
    let Some(lab) = Lab::open() else {
        return String::new();
    };
    let more = [&SEMIHOSTING[..], &MODERN, more].concat();
    let mut guest = lab.bare(board, "crash", "how=random", &more);
    assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
    guest.console()
}

/// The three numbers that it said.
fn numbers(console: &str) -> Vec<u64> {
    let words = console.lines().filter(|line| line.contains(" says "));
    let words = words.filter_map(|line| line.rsplit(' ').next());
    words
        .map(|word| u64::from_str_radix(word, 16).expect("a number"))
        .collect()
}

fn assert_says(console: &str, words: &[&str]) {
    for words in words {
        assert!(console.contains(words), "{words:?} is missing:\n{console}");
    }
}

const LOUD: &str = "WARN  entropy: NO GOOD SOURCE: keys can be guessed; QEMU offers one by -device virtio-rng-device";

fn assert_good(console: &str, source: &str) {
    assert_says(console, &[source, "good: true, reseeded: 2"]);
    assert!(!console.contains("WARN  entropy"), "{console}");
}

fn without_a_source_of_entropy_a_machine_says_so_loudly(board: &str) {
    if Lab::open().is_none() {
        return;
    }
    let boots = [random(board, &NO_SEED), random(board, &NO_SEED)];
    let mut all: Vec<u64> = boots.iter().flat_map(|console| numbers(console)).collect();
    for console in &boots {
        assert_says(
            console,
            &[LOUD, "entropy: jitter: not counted", "good: false"],
        );
        assert!(!console.contains(": good\n"), "{console}");
    }
    // What there is of jitter still makes two boots differ.
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6, "{boots:?}");
    assert!(!all.contains(&0));
}

fn a_seed_in_the_device_tree_is_a_good_source(board: &str) {
    let Some(_) = Lab::open() else { return };
    assert_good(&random(board, &[]), "INFO  entropy: rng-seed: good");
}

fn a_virtio_device_is_a_good_source(board: &str) {
    let Some(_) = Lab::open() else { return };
    let options = [&NO_SEED[..], &["-device", "virtio-rng-device"]].concat();
    let source = "INFO  entropy: the virtio device: good";
    assert_good(&random(board, &options), source);
}

#[test]
fn the_cpu_s_generator_is_a_good_source() {
    let Some(_) = Lab::open() else { return };
    let options = [&NO_SEED[..], &["-cpu", "max"]].concat();
    assert_good(&random("virt", &options), "INFO  entropy: RNDR: good");
}

fn a_virtio_device_that_is_stuck_does_not_count(board: &str) {
    let Some(_) = Lab::open() else { return };
    let device = [
        "-object",
        "rng-random,id=zeros,filename=/dev/zero",
        "-device",
        "virtio-rng-device,rng=zeros",
    ];
    let console = random(board, &[&NO_SEED[..], &device].concat());
    let failed = "WARN  entropy: the virtio device: failed the repetition count test";
    assert_says(&console, &[failed, LOUD, "good: false"]);
}

fn a_virtio_device_that_never_answers_does_not_hold_up_the_boot(board: &str) {
    let Some(_) = Lab::open() else { return };
    let device = [
        "-chardev",
        "null,id=nobody",
        "-object",
        "rng-egd,id=silent,chardev=nobody",
        "-device",
        "virtio-rng-device,rng=silent",
    ];
    let console = random(board, &[&NO_SEED[..], &device].concat());
    let silent = "WARN  entropy: the virtio device: only 0 bytes";
    assert_says(&console, &[silent, LOUD, "good: false, reseeded: 2"]);
}

/// Starts the guest that says the time each second.
fn clock(lab: &Lab, board: &str, arguments: &str, more: &[&str]) -> Guest {
    let line = format!("how=clock {arguments}");
    let network = [
        "-netdev",
        "user,id=net",
        "-device",
        "virtio-net-device,netdev=net",
    ];
    let more = [
        &SEMIHOSTING[..],
        &MODERN,
        &network,
        more,
        &["-append", &line],
    ]
    .concat();
    lab.virt(board, "crash", &more)
}

fn the_pl031_gives_the_time_of_day(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = clock(&lab, board, "", &["-rtc", "base=2031-02-03T04:05:06"]);
    let line = guest.wait_for_line("INFO  clock: ");
    assert!(line.contains(" clock: 2031-02-03T04:0"), "{line}");
    assert!(line.ends_with("Z from the PL031"), "{line}");
    let said = guest.wait_for_line("it is 2031-02-03T04:");
    assert!(
        said.contains(r#"source: Board("the PL031"), uncertainty_us: None"#),
        "{said}"
    );
    // It goes on by itself.
    let second = |line: &str| {
        let at = line.find("unix_us: ")? + "unix_us: ".len();
        line[at..].split(',').next()?.parse::<u64>().ok()
    };
    let first = second(&said).expect("a number");
    let later = format!("unix_us: {}", (first / 1_000_000 + 2));
    guest.wait_for_line(&later);
    guest.assert_well();
}

fn a_pl031_that_was_never_set_is_not_believed(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = clock(&lab, board, "", &["-rtc", "base=1970-01-01T00:00:00"]);
    let line = guest.wait_for_line("WARN  clock: ");
    let advice = "from the PL031 was never set: the time of day is unknown; give time=… or ntp=…";
    assert!(line.ends_with(advice), "{line}");
    guest.wait_for_line("it is unknown what time it is");
}

fn the_time_of_day_can_be_given(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let old = ["-rtc", "base=2001-01-01T00:00:00"];
    for (argument, time) in [
        ("time=2030-05-06T07:08:09Z", "2030-05-06T07:08:09Z"),
        ("time=1893456000", "2030-01-01T00:00:00Z"),
    ] {
        let mut guest = clock(&lab, board, argument, &old);
        guest.wait_for_line(&format!("INFO  clock: {time} from time=…"));
        guest.wait_for_line("source: BootArgument");
        assert!(!guest.console().contains("PL031"), "{}", guest.console());
    }
}

fn a_time_that_is_none_is_named(board: &str) {
    let Some(lab) = Lab::open() else { return };
    for (argument, expected) in [
        (
            "time=2030-02-30T00:00:00Z",
            "a time such as 2026-11-26T01:00:00Z, or seconds since 1970",
        ),
        ("time=", "a time such as"),
        ("ntp=pool", "an address such as 10.0.2.2 or 10.0.2.2:123"),
    ] {
        let mut guest = lab.bare(board, "crash", argument, &SEMIHOSTING);
        assert_eq!(guest.wait_for_exit(), 2, "{}", guest.console());
        let sentence = format!("ERROR boot: boot argument {argument}: expected {expected}");
        guest.wait_for_line(&sentence);
    }
}

/// The device tree of a machine without a PL031: QEMU's own with another name for it.
fn tree_without_clock(lab: &Lab, board: &str) -> Vec<u8> {
    let folder = lab.folder();
    let tree = folder.path().join("machine.dtb");
    let (program, cpu) = match board {
        "virt" => ("qemu-system-aarch64", "cortex-a57"),
        _ => ("qemu-system-arm", "cortex-a7"),
    };
    let machine = format!("virt,dumpdtb={}", tree.display());
    let words = ["-M", &machine, "-cpu", cpu, "-m", "64M", "-nic", "none"];
    let dumped = Command::new(program).args(words).args(MODERN).output();
    assert!(dumped.expect("QEMU is there").status.success());
    let mut bytes = std::fs::read(&tree).expect("QEMU wrote it");
    const NAME: &[u8] = b"arm,pl031";
    let mut places = bytes.windows(NAME.len());
    let place = places.position(|it| it == NAME).expect("it has one");
    bytes[place + 4..place + NAME.len()].copy_from_slice(b"other");
    // Without the mebibyte of room at the end, which QEMU would double. The words of the header: Devicetree
    // Specification 0.4, 5.2; the strings come last.
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
    let used = word(12) + word(32);
    bytes.truncate(used as usize);
    bytes[4..8].copy_from_slice(&used.to_be_bytes());
    bytes
}

fn without_a_clock_the_time_is_unknown_and_a_server_can_tell_it(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let path = folder.path().join("no-clock.dtb");
    std::fs::write(&path, tree_without_clock(&lab, board)).expect("the folder is ours");
    let path = path.display().to_string();
    let server = Server::start(|request| vec![answer(request, unix_us())]);
    let mut guest = clock(&lab, board, &server.argument(), &["-dtb", &path]);
    guest.wait_for_line("WARN  clock: the time of day is unknown; give time=… or ntp=…");
    let line = guest.wait_for_line(" by SNTP (stratum 3)");
    assert!(line.ends_with("; set"), "{line}");
    guest.wait_for_line("source: Sntp { server: 10.0.2.2:");
}

/// An SNTP server of this machine, which answers as it is told.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    /// It ends with the test's process.
    fn start(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let requests = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut request = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut request) {
                let request = &request[..length];
                seen.lock().expect("nobody panics").push(request.to_vec());
                for answer in answers(request) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, requests }
    }

    /// How a machine reaches it, through QEMU.
    fn argument(&self) -> String {
        format!("log=debug ntp=10.0.2.2:{}", self.address.port())
    }

    fn count(&self) -> usize {
        self.requests.lock().expect("nobody panics").len()
    }
}

fn unix_us() -> u64 {
    let since = UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_micros().try_into().expect("for long")
}

/// A good answer of a server whose clock says `unix_us` (RFC 5905, 7.3), of stratum 3.
fn answer(request: &[u8], unix_us: u64) -> Vec<u8> {
    let seconds = unix_us / 1_000_000 + 2_208_988_800;
    let time = ((seconds << 32) | (((unix_us % 1_000_000) << 32) / 1_000_000)).to_be_bytes();
    let mut message = vec![0; 48];
    (message[0], message[1]) = (0x24, 3);
    message[24..32].copy_from_slice(&request[40..48]);
    message[32..40].copy_from_slice(&time);
    message[40..48].copy_from_slice(&time);
    message
}

/// 2040-01-01T00:00:00Z: NTP's seconds have come round.
const IN_2040_US: u64 = 2_208_988_800_000_000;

fn an_answer_is_found_among_others_and_may_be_of_the_next_era(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let server = Server::start(|request| {
        let good = answer(request, IN_2040_US);
        let mut unasked = answer(request, IN_2040_US * 2);
        unasked[24] ^= 1;
        let mut not_a_server = good.clone();
        not_a_server[0] = 0x25;
        let mut unasked_kiss = unasked.clone();
        unasked_kiss[1] = 0;
        unasked_kiss[12..16].copy_from_slice(b"DENY");
        let short = good[..47].to_vec();
        let long = vec![0xff; 1400];
        let echo = request.to_vec();
        vec![
            vec![],
            short,
            unasked,
            not_a_server,
            unasked_kiss,
            long,
            echo,
            good,
        ]
    });
    let mut guest = clock(&lab, board, &server.argument(), &[]);
    let line = guest.wait_for_line(" by SNTP (stratum 3)");
    assert_says(&line, &["INFO  clock: 2040-01-01T00:0", "; stepped by "]);
    let said = guest.wait_for_line("it is 2040-01-01T00:0");
    let stamp = |line: &str| {
        line[1..]
            .trim_start()
            .split('.')
            .next()?
            .parse::<u64>()
            .ok()
    };
    // Timers go on as they did.
    guest.wait_for_line("clock: 10.0.2.2:");
    let next = format!("[{:5}.", stamp(&said).expect("a number") + 3);
    let later = guest.wait_for_line(&next);
    assert!(later.contains("it is 2040-01-01T00:0"), "{later}");
    assert_says(&guest.console(), &["is asked again in 64 s"]);
    assert_eq!(server.count(), 1);
    guest.assert_well();
}

fn a_server_that_does_not_know_the_time_is_not_believed_and_asked_again(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let asked = Mutex::new(0);
    let server = Server::start(move |request| {
        let mut asked = asked.lock().expect("nobody panics");
        *asked += 1;
        let mut answer = answer(request, IN_2040_US);
        if *asked == 1 {
            answer[0] |= 0xc0;
        }
        vec![answer]
    });
    let mut guest = clock(&lab, board, &server.argument(), &[]);
    guest.wait_for_line("the answer is not believed: it does not know the time itself");
    guest.wait_for_line("is asked again in 16 s");
    let said = guest.wait_for_line("it is 20");
    assert!(said.contains("the PL031"), "{said}");
    guest.wait_for_line("it is 2040-01-01T00:0");
    assert_eq!(server.count(), 2);
}

fn a_server_that_denies_is_asked_no_more(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let server = Server::start(|request| {
        let mut kiss = answer(request, IN_2040_US);
        kiss[1] = 0;
        kiss[12..16].copy_from_slice(b"RSTR");
        vec![kiss]
    });
    let mut guest = clock(&lab, board, &server.argument(), &[]);
    guest.wait_for_line("the answer is not believed: kiss-o'-death RSTR");
    let last = guest.wait_for_line("is asked no more");
    assert!(last.contains("WARN  clock: 10.0.2.2:"), "{last}");
    guest.wait_for_line("it is 20");
    guest.assert_well();
    assert_eq!(server.count(), 1);
}

/// The game as a process, which asks this server.
fn process(lab: &Lab, server: &Server) -> Guest {
    lab.process("2048", &["log=debug", &format!("ntp={}", server.address)])
}

/// What the process says that the time is.
fn told_seconds(guest: &Guest) -> u64 {
    let told = http::get(guest.address(), "/api/info");
    let told: serde_json::Value = serde_json::from_str(told.text()).expect("it is JSON");
    told["unix_seconds"].as_u64().expect("it knows the time")
}

#[test]
fn a_process_has_the_host_s_time_and_is_slewed_from_there() {
    let Some(lab) = Lab::open() else { return };
    let server = Server::start(|request| vec![answer(request, unix_us() + 50_000)]);
    let mut guest = process(&lab, &server);
    let line = guest.wait_for_line("INFO  clock: ");
    assert!(line.ends_with("Z from the host"), "{line}");
    let line = guest.wait_for_line(" by SNTP (stratum 3)");
    let slewed = line
        .rsplit("; slewed by ")
        .next()
        .expect("a split has a last");
    let slewed: i64 = slewed.trim_end_matches(" us").parse().expect("a number");
    let (_, rest) = line
        .split_once("within ")
        .expect("it says how uncertain it is");
    let (uncertainty, _) = rest.split_once(" us").expect("in microseconds");
    let uncertainty: i64 = uncertainty.parse().expect("a number");
    assert!((20_000..=50_000 + uncertainty).contains(&slewed), "{line}");
    guest.wait_until_it_listens();
    let host = SystemTime::now().duration_since(UNIX_EPOCH);
    let host = host.expect("after 1970").as_secs();
    assert!(told_seconds(&guest).abs_diff(host) <= 1);
}

#[test]
fn a_process_is_stepped_where_much_is_wrong() {
    let Some(lab) = Lab::open() else { return };
    let server = Server::start(|request| vec![answer(request, IN_2040_US)]);
    let mut guest = process(&lab, &server);
    guest.wait_for_line("; stepped by ");
    guest.wait_until_it_listens();
    let later = told_seconds(&guest) - IN_2040_US / 1_000_000;
    assert!(later < 60, "{later}");
}

#[test]
fn silence_is_said_once_and_the_server_asked_less_and_less() {
    let Some(lab) = Lab::open() else { return };
    let server = Server::start(|_| vec![]);
    let mut guest = process(&lab, &server);
    let line = guest.wait_for_line("no answer");
    assert!(line.contains("WARN  clock: asking 127.0.0.1:"), "{line}");
    guest.wait_for_line("is asked again in 16 s");
    guest.wait_for_line("is asked again in 32 s");
    let console = guest.console();
    let said = console.lines().filter(|line| line.contains("WARN  clock"));
    assert_eq!(said.count(), 1, "{console}");
    assert_eq!(server.count(), 2);
    guest.assert_well();
}
