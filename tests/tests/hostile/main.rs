//! The 2048 service among clients and frames that mean it no good, and more of them than it would like.
//!
//! Over a tap in a network namespace, where this machine can write any frame, and over QEMU's own
//! network.

#![forbid(unsafe_code)]

mod frames;

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frames::{SYN, frame, nowhere};
use game_2048::SplitMix64;
use landfall_tests::http::{get, info};
use landfall_tests::network::{RawSocket, ethernet, ipv4, tcp};
use landfall_tests::{Connection, DEADLINE, Guest, Lab, Namespace, skip, wait_until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

/// How much more of the heap may be in use after than before: what allocations of other sizes leave
/// unused, but not what a hundred connections hold.
const SLACK: u64 = 128 << 10;

/// What a process may need for all that is done to it here: as much as the machines have.
const MOST_OF_A_PROCESS: u64 = 64 << 20;

/// Runs `test` against a guest on a tap, in a thread that is in its namespace.
fn on_a_tap(test: impl FnOnce(&Namespace, SocketAddr) + Send) {
    on_a_tap_with("virt", "64M", test);
}

/// The same against our own IP stack in a process of this machine.
fn in_a_process(test: impl FnOnce(&Namespace, SocketAddr) + Send) {
    on_a_tap_with("unix", "", test);
}

fn on_a_tap_with(board: &str, memory: &str, test: impl FnOnce(&Namespace, SocketAddr) + Send) {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    let mut guest = match board {
        "unix" => lab.process_on(
            &namespace,
            "2048",
            &namespace.place().each_ref().map(String::as_str),
        ),
        _ => lab
            .machine("2048")
            .board(board)
            .options(&["--memory", memory])
            .network(&namespace)
            .start(),
    };
    let address = guest.wait_until_it_listens();
    namespace.run(|| test(&namespace, address));
    guest.assert_well();
    if board == "unix" {
        let most = most_memory(guest.pid());
        assert!(most < MOST_OF_A_PROCESS, "{most} bytes");
    }
}

/// The most memory that a process had at any time, in bytes (proc(5), VmHWM).
fn most_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = most.and_then(|most| most.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.expect("Linux says so") << 10
}

/// How long after connections have ended what is kept for others is surely given back.
const BUFFERS_KEPT: Duration = Duration::from_secs(3);

/// Waits until no connection is left but the one that asks; returns the bytes of heap in use.
fn quiet(address: SocketAddr) -> u64 {
    wait_until_quiet(address);
    std::thread::sleep(BUFFERS_KEPT);
    wait_until_quiet(address)
}

fn wait_until_quiet(address: SocketAddr) -> u64 {
    // Asking on new connections would be noise.
    let mut connection = Connection::open(address).expect("the server listens");
    let end = Instant::now() + DEADLINE;
    loop {
        let info = connection
            .request("GET", "/api/info", "")
            .expect("an answer")
            .json();
        let count = |pointer: &str| {
            info.pointer(pointer)
                .and_then(Value::as_u64)
                .expect("a guest counts this")
        };
        let sockets = ["half_open", "open", "closing", "time_wait"]
            .map(|state| count(&format!("/sockets/tcp/{state}")));
        if sockets == [0, 1, 0, 0] {
            return heap_in_use(&info);
        }
        assert!(Instant::now() < end, "long after it is {info}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The bytes of heap in use; none of a process, whose allocator does not say.
fn heap_in_use(info: &Value) -> u64 {
    if info["board"] == "unix" {
        return 0;
    }
    info["heap"]["used"].as_u64().expect("a guest counts this")
}

/// Waits until nothing is left of what was done to a server that had `before` bytes of heap in use.
fn assert_settles(address: SocketAddr, before: u64) {
    let after = quiet(address);
    assert!(
        after <= before + SLACK,
        "{before} bytes were in use before, {after} are now"
    );
}

/// Opens connections at the same time, holds them all, then asks on each; every one must be served.
fn burst(address: SocketAddr, connections: usize) {
    let page = get(address, "/").body;
    let (start, all_open) = (Barrier::new(connections), Barrier::new(connections));
    let client = || -> std::io::Result<bool> {
        start.wait();
        let connection = Connection::open(address);
        all_open.wait();
        let response = connection?.request("GET", "/", "")?;
        Ok(response.status == 200 && response.body == page)
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"))
            .collect()
    });
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !matches!(outcome, Ok(true)))
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {connections} were not served: {:?}",
        failed.len(),
        failed[0]
    );
}

fn bursts(_: &Namespace, address: SocketAddr) {
    // Once for what is kept for good.
    burst(address, 256);
    let before = quiet(address);
    burst(address, 256);
    assert_settles(address, before);
}

#[test]
fn a_burst_of_256_connections_is_served() {
    on_a_tap(bursts);
}

#[test]
fn a_burst_of_256_connections_is_served_by_a_process() {
    in_a_process(bursts);
}

/// Five thousand in 32 MiB: each costs less than 4 KiB while it is idle, and all are served again.
#[test]
fn five_thousand_idle_connections_cost_little() {
    const COUNT: u64 = 5000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a process has limits");
    let wanted = soft.max(COUNT + 200);
    if wanted > hard {
        return skip("this process may not open so many files (ulimit -Hn)");
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).expect("it is within the hard limit");
    on_a_tap_with("virt", "32M", |_, address| {
        let before = quiet(address);
        let ask = |connection: &mut Connection| {
            let response = connection.request("HEAD", "/", "").expect("an answer");
            assert_eq!(response.status, 200);
        };
        let mut idle = Vec::new();
        for number in 0..COUNT {
            let mut connection = Connection::open(address).expect("the server listens");
            ask(&mut connection);
            idle.push(connection);
            // None is idle for so long that it is closed, on slow machines either.
            if number % 1000 == 999 {
                idle.iter_mut().for_each(ask);
            }
        }
        let now = info(address);
        assert_eq!(now["sockets"]["tcp"]["open"], COUNT + 1);
        let each = (heap_in_use(&now) - before) / COUNT;
        assert!(each < 4096, "{each} bytes");
        drop(idle);
        // Lists that have grown stay.
        assert_settles(address, before + 128 * COUNT);
    });
}

/// The machine has not the memory for all of them at a time, and each makes the server expect a request.
/// Some may be refused or have to wait; the server must go on.
#[test]
fn a_crowd_before_a_small_machine_is_no_danger() {
    const CROWD: usize = 512;
    on_a_tap_with("virt", "4M", |_, address| {
        let before = quiet(address);
        let (start, all_there) = (Barrier::new(CROWD), Barrier::new(CROWD));
        let client = || {
            start.wait();
            let connection = Connection::open_within(address, Duration::from_secs(3));
            all_there.wait();
            let mut connection = connection?;
            connection.set_patience(Duration::from_secs(15))?;
            connection.request("GET", "/", "")
        };
        let served = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CROWD).map(|_| scope.spawn(client)).collect();
            let outcomes = clients
                .into_iter()
                .map(|client| client.join().expect("a client does not panic"));
            outcomes
                .filter(|outcome: &std::io::Result<_>| outcome.is_ok())
                .count()
        });
        assert!(served > 0, "nobody was served");
        assert_settles(address, before);
    });
}

/// QEMU accepts for the guest, with a queue of one: the kernel of this machine drops the better part of a
/// larger burst before the guest could hear of it.
#[test]
fn a_burst_over_qemus_network_is_served() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.machine("2048").start();
    let address = guest.wait_until_it_listens();
    // One after the other, then all held: QEMU's own listener on the host has room for one that waits,
    // and loses some of those that come at the same time before the guest sees them.
    let mut connections: Vec<_> = (0..32)
        .map(|_| Connection::open(address).expect("a connection"))
        .collect();
    for connection in &mut connections {
        let response = connection.request("GET", "/", "").expect("an answer");
        assert_eq!(response.status, 200);
    }
    guest.assert_well();
}

/// How a client that vanishes has begun.
const BEGINNINGS: [&str; 5] = [
    "",
    "GET / HT",
    "GET / HTTP/1.1\r\nHost: test\r\n",
    "GET /style.css HTTP/1.1\r\nHost: test\r\n\r\n",
    "POST /api/info HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nabc",
];

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.machine("2048").start();
    let address = guest.wait_until_it_listens();
    let before = quiet(address);
    // Ten at a time: QEMU's queue is short, and a client that it drops tries again after a second.
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for beginning in BEGINNINGS.iter().cycle().take(10) {
                    let mut connection = Connection::open(address).expect("the server listens");
                    connection.send(beginning).expect("the server reads");
                }
            });
        }
    });
    get(address, "/");
    assert_settles(address, before);
    guest.assert_well();
}

/// Asks until `done`, each time on a new connection.
fn serve_while(address: SocketAddr, done: &AtomicBool) -> usize {
    let mut served = 0;
    while !done.load(Ordering::Relaxed) {
        get(address, "/");
        served += 1;
    }
    served
}

/// A client that sends a byte a second; returns the status that it gets in the end.
fn dawdle(address: SocketAddr) -> std::io::Result<u16> {
    let request = "GET / HTTP/1.1\r\nHost: test\r\nName: a value without an end";
    let mut connection = Connection::open(address)?;
    connection.set_patience(Duration::from_secs(1))?;
    let give_up = Instant::now() + DEADLINE;
    for byte in request.bytes().cycle() {
        // Sending fails once the server has had enough; its answer is there to be read.
        let sent = connection.send([byte]);
        match connection.response("GET") {
            Ok(response) => return Ok(response.status),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => sent?,
            Err(error) => return Err(error),
        }
        if Instant::now() > give_up {
            break;
        }
    }
    Err(std::io::Error::other(
        "the server has all the patience in the world",
    ))
}

fn slow_and_silent_clients(_: &Namespace, address: SocketAddr) {
    get(address, "/");
    let before = quiet(address);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let silent: Vec<_> = (0..100)
            .map(|_| Connection::open(address).expect("the server listens"))
            .collect();
        let slow: Vec<_> = (0..50).map(|_| scope.spawn(|| dawdle(address))).collect();
        let normal = scope.spawn(|| serve_while(address, &done));
        let slow: Vec<_> = slow
            .into_iter()
            .map(|client| client.join().expect("it does not panic"))
            .collect();
        done.store(true, Ordering::Relaxed);
        let served = normal.join().expect("everybody else is served");
        assert!(
            served > 50,
            "{served} requests were served beside the slow ones"
        );
        for status in slow {
            assert_eq!(status.expect("the server says why it ends"), 408);
        }
        drop(silent);
    });
    assert_settles(address, before);
}

#[test]
fn slow_and_silent_clients_keep_nobody_waiting() {
    on_a_tap(slow_and_silent_clients);
}

#[test]
fn slow_and_silent_clients_keep_nobody_waiting_for_a_process() {
    in_a_process(slow_and_silent_clients);
}

fn half_open_connections(namespace: &Namespace, address: SocketAddr) {
    const SYNS: usize = 20_000;
    get(address, "/");
    let before = quiet(address);
    let first_frames = namespace.frames_to_guest();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let normal = scope.spawn(|| serve_while(address, &done));
        let socket = RawSocket::open();
        let mut random = SplitMix64::new(1);
        for number in 0..SYNS {
            let source = nowhere(&mut random);
            let segment = tcp(source, random.below(u32::MAX), SYN, &[]);
            let frame = ethernet(0x0800, &ipv4(source.0, 6, &segment));
            socket.send(&frame);
            if number == SYNS / 2 {
                let half_open = &info(address)["sockets"]["tcp"]["half_open"];
                // As many as the backlog holds, not as many as were sent.
                let bounded = half_open
                    .as_u64()
                    .is_some_and(|half_open| (1..=2048).contains(&half_open));
                assert!(bounded, "{half_open} half-open connections");
            }
        }
        get(address, "/");
        done.store(true, Ordering::Relaxed);
        assert!(normal.join().expect("everybody else is served") > 0);
    });
    assert!(namespace.frames_to_guest() - first_frames > SYNS as u64);
    assert_settles(address, before);
}

#[test]
fn half_open_connections_keep_nobody_waiting() {
    on_a_tap(half_open_connections);
}

#[test]
fn half_open_connections_keep_nobody_waiting_for_a_process() {
    in_a_process(half_open_connections);
}

/// Between batches of frames the server must answer: the tap hands frames over in their order, so by then
/// it has taken all of them.
fn random_frames(namespace: &Namespace, address: SocketAddr) {
    const FRAMES: usize = 100_000;
    const BATCH: usize = 500;
    const SEED: u64 = 2048;
    let before = quiet(address);
    let mut connection = Connection::open(address).expect("the server listens");
    let page = connection.request("GET", "/", "").expect("an answer").body;
    let first_frames = namespace.frames_to_guest();
    let socket = RawSocket::open();
    let mut random = SplitMix64::new(SEED);
    for batch in 0..FRAMES / BATCH {
        for _ in 0..BATCH {
            let frame = frame(&mut random);
            socket.send(&frame);
        }
        let response = connection.request("GET", "/", "");
        let response =
            response.unwrap_or_else(|error| panic!("after batch {batch} (seed {SEED}): {error}"));
        assert!(
            response.status == 200 && response.body == page,
            "after batch {batch} (seed {SEED})"
        );
        let info = connection.request("GET", "/api/info", "");
        let used = heap_in_use(&info.expect("an answer").json());
        // A thousand half-open connections may hold their buffers for a while, the first of them large ones,
        // but not all that there is.
        assert!(
            used < 48 << 20,
            "after batch {batch} (seed {SEED}): {used} bytes"
        );
    }
    let frames = namespace.frames_to_guest() - first_frames;
    assert!(
        frames >= FRAMES as u64,
        "only {frames} frames have left the tap"
    );
    drop(connection);
    // A new client is served too, and nothing is left of the old ones.
    assert_settles(address, before);
}

#[test]
fn a_hundred_thousand_random_frames_do_no_harm() {
    on_a_tap(random_frames);
}

#[test]
fn a_hundred_thousand_random_frames_do_no_harm_in_32_bits() {
    on_a_tap_with("virt-armv7", "64M", random_frames);
}

#[test]
fn a_hundred_thousand_random_frames_do_a_process_no_harm() {
    in_a_process(random_frames);
}

#[test]
fn a_namespace_is_gone_after_its_test() {
    let name = match Namespace::new() {
        Ok(namespace) => {
            let path = format!("/run/netns/{}", namespace.name());
            assert!(std::path::Path::new(&path).exists(), "{path}");
            namespace.name().to_owned()
        }
        Err(why) => return skip(why),
    };
    assert!(
        !std::path::Path::new(&format!("/run/netns/{name}")).exists(),
        "{name} is left over"
    );
}

/// Only to see that the guest of a test that fails goes away: [`Guest`] ends its process.
#[test]
fn a_guest_is_gone_after_its_test() {
    let Some(lab) = Lab::open() else { return };
    let mut guest: Guest = lab.machine("2048").start();
    guest.wait_until_it_listens();
    let (tool, folder) = (guest.pid(), guest.folder().path().to_owned());
    let machines = landfall_tests::guest::children(tool);
    assert_eq!(machines.len(), 1, "the tool has one child: {machines:?}");
    drop(guest);
    wait_until("the end of QEMU", DEADLINE, || {
        landfall_tests::guest::program(machines[0])
            .is_none()
            .then_some(())
    });
    assert!(!folder.exists(), "{} is left over", folder.display());
}
