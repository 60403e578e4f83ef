//! The thermometer: pages, JSON, metrics, each reading as it comes, and a sensor that does not answer; by way of the
//! machines and of the process.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use landfall_tests::http::{ask, get};
use landfall_tests::{Connection, DEADLINE, Guest, Lab, on_each_machine, wait_until};
use serde_json::Value;

/// How many readings the service keeps.
const KEPT: usize = 360;

on_each_machine! {
    the_service
    a_sensor_that_never_answers
    what_the_board_does_not_have
}

fn the_service(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let machine = lab.machine("thermometer").board(board);
    let mut guest = machine
        .argument("interval=100ms")
        .argument("fail=5")
        .start();
    let address = guest.wait_until_it_listens();
    check(&mut guest, address, board);
}

#[test]
fn the_service_on_unix() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.process("thermometer", &["interval=100ms", "fail=5"]);
    let address = guest.wait_until_it_listens();
    check(&mut guest, address, "unix");
    // Longer than is kept.
    let read = |told: &Value| {
        told["read"]
            .as_u64()
            .is_some_and(|it| it > KEPT as u64 + 10)
    };
    let told = wait_for(address, read);
    assert_eq!(readings(&told).len(), KEPT, "{told}");
    assert_eq!(told["capacity"], KEPT, "{told}");
    let (first, last) = (&readings(&told)[0], &readings(&told)[KEPT - 1]);
    assert!(first["uptime_ms"].as_u64() > Some(500), "{first}");
    assert!(
        last["uptime_ms"].as_u64() > first["uptime_ms"].as_u64(),
        "{told}"
    );
    guest.assert_well();
}

fn check(guest: &mut Guest, address: SocketAddr, board: &str) {
    let files = [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/thermometer.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ];
    for (path, media_type) in files {
        let file = get(address, path);
        assert_eq!(file.field("Content-Type"), Some(media_type), "{path}");
        let policy = file.field("Content-Security-Policy").expect("a policy");
        assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
        let known = file.field("ETag").expect("a tag");
        let fields = format!("If-None-Match: {known}\r\n");
        let mut connection = Connection::open(address).expect("it listens");
        let again = connection.request("GET", path, &fields);
        assert_eq!(again.expect("an answer").status, 304, "{path}");
    }
    assert!(get(address, "/").text().contains("<title>Thermometer"));
    for (method, path, status) in [("GET", "/nowhere", 404), ("DELETE", "/api/history", 405)] {
        let refused = ask(address, method, path).expect("an answer");
        assert_eq!(refused.status, status, "{method} {path}");
    }
    history_has_gaps(address, board);
    metrics_agree(address);
    listeners_hear_each_reading(address);
    guest.assert_well();
    guest.wait_for_line("the sensor answers again");
}

fn wait_for(address: SocketAddr, fits: impl Fn(&Value) -> bool) -> Value {
    wait_until("readings", DEADLINE, || {
        let told = get(address, "/api/history").json();
        fits(&told).then_some(told)
    })
}

fn readings(told: &Value) -> &Vec<Value> {
    let readings = told["readings"].as_array();
    readings.unwrap_or_else(|| panic!("no readings: {told}"))
}

/// Of five readings of the simulated sensor the fifth is not answered.
fn history_has_gaps(address: SocketAddr, board: &str) {
    let told = wait_for(address, |told| readings(told).len() >= 12);
    let about = ["board", "source", "interval_ms"].map(|name| &told[name]);
    assert_eq!(
        about,
        [&board.into(), &"simulated".into(), &Value::from(100)]
    );
    let readings = readings(&told);
    assert_eq!(told["failed"], readings.len() / 5, "{told}");
    for (number, reading) in readings.iter().enumerate() {
        let celsius = &reading["celsius"];
        if number % 5 == 4 {
            assert!(celsius.is_null(), "{reading}");
            assert_eq!(reading["error"], "the sensor does not answer");
        } else {
            let celsius = celsius.as_f64().expect("a number");
            assert!((15.0..=28.0).contains(&celsius), "{reading}");
        }
    }
}

/// The value of a metric.
fn metric(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

fn metrics_agree(address: SocketAddr) {
    let before = get(address, "/api/history").json();
    let page = get(address, "/metrics");
    let after = get(address, "/api/history").json();
    let media_type = page.field("Content-Type").expect("a type");
    assert!(media_type.starts_with("text/plain; version=0.0.4"));
    let page = page.text();
    let count = |outcome: &str| {
        let name = format!("sensor_reads_total{{outcome=\"{outcome}\"}}");
        metric(page, &name).unwrap_or_else(|| panic!("{page}"))
    };
    let between = |count: f64, name: &str| {
        let (before, after) = (before[name].as_f64(), after[name].as_f64());
        assert!(
            before <= Some(count) && Some(count) <= after,
            "{name} {count}"
        );
    };
    between(count("failed"), "failed");
    between(count("failed") + count("answered"), "read");
    let celsius = metric(page, "temperature_celsius").unwrap_or_else(|| panic!("{page}"));
    assert!((15.0..=28.0).contains(&celsius), "{celsius}");
    assert!(metric(page, "sensor_up").is_some(), "{page}");
    assert!(metric(page, "landfall_uptime_seconds").is_some(), "{page}");
}

fn listeners_hear_each_reading(address: SocketAddr) {
    let mut listener = Connection::open(address).expect("it listens");
    let head = listener.open_stream("/api/live").expect("a head");
    assert_eq!(
        (head.status, head.field("Content-Type")),
        (200, Some("text/event-stream"))
    );
    let mut next = |kind: &str| -> Value {
        let chunk = listener.chunk().expect("more comes");
        let data = chunk
            .strip_prefix(&format!("event: {kind}\ndata: "))
            .and_then(|rest| rest.strip_suffix("\n\n"));
        let data = data.unwrap_or_else(|| panic!("no {kind}: {chunk}"));
        serde_json::from_str(data).expect("it is JSON")
    };
    let all = next("history");
    let mut last = readings(&all).last().cloned().expect("a reading");
    for _ in 0..10 {
        let reading = next("reading");
        let apart = reading["uptime_ms"]
            .as_u64()
            .zip(last["uptime_ms"].as_u64());
        assert!(
            apart.is_some_and(|(this, last)| this > last),
            "{last} {reading}"
        );
        last = reading;
    }
}

fn a_sensor_that_never_answers(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let machine = lab.machine("thermometer").board(board);
    let mut guest = machine
        .argument("interval=100ms")
        .argument("fail=1")
        .start();
    let address = guest.wait_until_it_listens();
    let told = wait_for(address, |told| readings(told).len() >= 5);
    assert!(
        readings(&told).iter().all(|it| it["celsius"].is_null()),
        "{told}"
    );
    let page = get(address, "/metrics");
    assert_eq!(metric(page.text(), "sensor_up"), Some(0.0));
    // None was ever read, and none is told.
    assert_eq!(metric(page.text(), "temperature_celsius"), None);
    guest.assert_well();
    // It is said once.
    let said = guest
        .console()
        .matches("the sensor does not answer")
        .count();
    assert_eq!(said, 1, "{}", guest.console());
}

fn what_the_board_does_not_have(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let machine = lab.machine("thermometer").board(board);
    let mut guest = machine.argument("source=i2c").argument("bus=1").start();
    assert_eq!(guest.wait_for_exit(), 1);
    guest.wait_for_line(&format!(
        "board {board} has no I2C bus 1 here; it has: none"
    ));
    let machine = lab.machine("thermometer").board(board);
    let mut guest = machine.argument("source=board").start();
    assert_eq!(guest.wait_for_exit(), 1);
    guest.wait_for_line(&format!("board {board} has no thermometer of its own here"));
}
