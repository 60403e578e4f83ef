//! Scores, which are replayed, and live scores, which are streamed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use game_2048::{Direction, Game, Outcome};
use landfall_tests::http::get;
use landfall_tests::{Connection, DEADLINE, Guest, Lab, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// More than the service streams to at the same time.
const TOO_MANY_LISTENERS: usize = 33;

pub(crate) fn check_all(guest: &mut Guest, address: SocketAddr) {
    forgeries_are_refused(address);
    the_same_game_is_listed_once(address);
    players_are_told_to_each_other(address);
    listeners_are_bounded(address);
    guest.assert_well();
    nobody_asks_too_often(address);
}

/// Plays badly but for long, up to so many moves.
fn play(seed: u64, most: usize) -> (String, Game) {
    let mut game = Game::new(seed);
    let mut moves = String::new();
    // Never up while anything else moves: the large tiles stay at the bottom.
    let order = [
        Direction::Down,
        Direction::Left,
        Direction::Right,
        Direction::Up,
    ];
    while moves.len() < most {
        let moved = |direction: &&Direction| game.play(**direction) != Outcome::Unchanged;
        let Some(direction) = order.iter().find(moved) else {
            break;
        };
        moves.push(direction.letter().into());
    }
    (moves, game)
}

fn submission(name: &str, seed: u64, moves: &str, score: u32) -> Value {
    json!({ "name": name, "seed": seed.to_string(), "moves": moves, "score": score })
}

/// Submits a game, as soon as the service takes one from this address.
fn submit(address: SocketAddr, body: impl AsRef<[u8]>) -> (u16, Value) {
    let answer = wait_until("a turn", DEADLINE, || {
        let mut connection = Connection::open(address).expect("the server listens");
        let answer = connection.post("/api/scores", &body).expect("an answer");
        (answer.status != 429).then_some(answer)
    });
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    (answer.status, answer.json())
}

fn scores(address: SocketAddr) -> Value {
    get(address, "/api/scores").json()["scores"].clone()
}

fn forgeries_are_refused(address: SocketAddr) {
    let before = scores(address);
    let (moves, game) = play(1, usize::MAX);
    assert!(game.is_over());
    let score = game.score();
    let sound = submission("Ada", 1, &moves, score);
    let with = |field: &str, value: Value| {
        let mut forged = sound.clone();
        forged[field] = value;
        forged.to_string().into_bytes()
    };
    let without = |field: &str| {
        let mut forged = sound.clone();
        forged.as_object_mut().expect("it is one").remove(field);
        forged.to_string().into_bytes()
    };
    let text = sound.to_string();
    let forgeries: Vec<(u16, Vec<u8>)> = vec![
        (422, with("score", json!(score + 4))),
        (422, with("score", json!(0))),
        (422, with("seed", json!("2"))),
        (422, with("seed", json!("18446744073709551616"))),
        (422, with("moves", json!(format!("{moves}u")))),
        (422, with("moves", json!(moves[1..]))),
        (422, with("moves", json!(format!("{moves}x")))),
        (422, with("name", json!("a\u{7}"))),
        (422, with("name", json!("\u{202e}ada"))),
        (422, with("name", json!("a".repeat(100)))),
        (413, with("moves", json!("u".repeat(20_001)))),
        (413, with("moves", json!("u".repeat(40_000)))),
        (400, with("score", json!(-1))),
        (400, with("score", json!(u64::MAX))),
        (400, with("score", json!(score.to_string()))),
        (400, with("moves", json!([moves]))),
        (400, with("admin", json!(true))),
        (400, without("seed")),
        (400, without("score")),
        (400, text.as_bytes()[..text.len() - 1].to_vec()),
        (
            400,
            text.replace("Ada", "A\u{0}").into_bytes()[1..].to_vec(),
        ),
        (400, [text.as_bytes(), b"{}"].concat()),
        (400, b"\xff\xfe".to_vec()),
        (400, Vec::new()),
    ];
    for (status, body) in forgeries {
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
        let (got, said) = submit(address, body);
        assert_eq!(got, status, "{shown}: {said}");
        assert!(said["error"].is_string(), "{shown}: {said}");
    }
    let mut connection = Connection::open(address).expect("the server listens");
    let untyped = connection
        .request("POST", "/api/scores", "Content-Length: 0\r\n")
        .expect("an answer");
    assert_eq!(untyped.status, 415);
    assert_eq!(scores(address), before);
}

fn the_same_game_is_listed_once(address: SocketAddr) {
    let (moves, game) = play(1, usize::MAX);
    let sound = submission(" Ada  L. ", 1, &moves, game.score()).to_string();
    assert_eq!(submit(address, &sound), (201, json!({ "rank": 1 })));
    let (status, said) = submit(address, &sound);
    assert_eq!(status, 409, "{said}");
    let list = scores(address);
    let first = &list[0];
    assert_eq!(
        (&first["name"], &first["score"], &first["moves"]),
        (&json!("Ada L."), &json!(game.score()), &json!(game.moves()))
    );
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert!(
        first["unix_seconds"]
            .as_u64()
            .is_none_or(|seconds| seconds > 1_600_000_000)
    );
}

fn report(address: SocketAddr, player: u64, name: &str, score: u32) -> u16 {
    let body = json!({ "player": player, "name": name, "score": score }).to_string();
    let mut connection = Connection::open(address).expect("the server listens");
    connection
        .post("/api/live", body)
        .expect("an answer")
        .status
}

/// Reads events until one fits; returns it.
fn hear(connection: &mut Connection, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let chunk = connection.chunk().expect("more comes");
        let event = chunk
            .strip_prefix("data: ")
            .and_then(|event| event.strip_suffix("\n\n"));
        let Some(event) = event else {
            assert_eq!(chunk, ":\n\n");
            continue;
        };
        let event = serde_json::from_str(event).expect("the event is JSON");
        if fits(&event) {
            return event;
        }
    }
}

fn players_are_told_to_each_other(address: SocketAddr) {
    assert_eq!(report(address, 1234, "Ada", 8), 200);
    let mut listener = Connection::open(address).expect("the server listens");
    let head = listener.open_stream("/api/live").expect("a head");
    assert_eq!(
        (
            head.status,
            head.field("Content-Type"),
            head.field("Transfer-Encoding")
        ),
        (200, Some("text/event-stream"), Some("chunked"))
    );
    assert_eq!(head.field("Cache-Control"), Some("no-store"));
    let shows = |name: &str, score: u32| {
        let expected = (json!(name), json!(score));
        move |event: &Value| {
            let players = event["players"].as_array().expect("a list");
            players
                .iter()
                .any(|player| (&player["name"], &player["score"]) == (&expected.0, &expected.1))
        }
    };
    let event = hear(&mut listener, shows("Ada", 8));
    assert!(!event.to_string().contains("1234"), "{event}");
    assert_eq!(report(address, 1234, "Ada", 16), 200);
    hear(&mut listener, shows("Ada", 16));
    assert_eq!(report(address, 5678, "Bob", 4), 200);
    let event = hear(&mut listener, shows("Bob", 4));
    assert_eq!(
        event["players"][0]["name"], "Ada",
        "the best first: {event}"
    );
    assert_eq!(report(address, 5678, "Bob", u32::MAX), 422);
    // Silence is filled, so that both sides notice when the other is gone.
    let quiet_since = Instant::now();
    assert_eq!(listener.chunk().expect("a heartbeat"), ":\n\n");
    let quiet = quiet_since.elapsed();
    assert!((5..25).contains(&quiet.as_secs()), "{quiet:?}");
    // Who says nothing has left.
    hear(&mut listener, |event| event["players"] == json!([]));
    let quiet = quiet_since.elapsed();
    assert!((35..70).contains(&quiet.as_secs()), "{quiet:?}");
}

fn listeners_are_bounded(address: SocketAddr) {
    // Always the same connection asks, as each takes memory.
    let mut asking = Connection::open(address).expect("the server listens");
    let mut used = || {
        let answer = asking.request("GET", "/api/info", "").expect("an answer");
        answer.json()["heap"]["used"].as_i64()
    };
    let before = used();
    let open = || {
        let mut listener = Connection::open(address).expect("the server listens");
        let status = listener.open_stream("/api/live").expect("a head").status;
        (listener, status)
    };
    // The one of the test before may not have been missed yet.
    let mut listeners = Vec::new();
    let refused = (0..=TOO_MANY_LISTENERS).find_map(|_| {
        let (listener, status) = open();
        listeners.push(listener);
        (status != 200).then_some(status)
    });
    assert_eq!(refused, Some(503));
    assert!(
        listeners.len() >= TOO_MANY_LISTENERS - 1,
        "{}",
        listeners.len()
    );
    get(address, "/");
    drop(listeners);
    wait_until("a place", Duration::from_secs(10), || {
        (open().1 == 200).then_some(())
    });
    // Connections keep their buffers for a moment.
    let Some(before) = before else { return };
    wait_until("the memory of those that left", DEADLINE, || {
        (used()? < before + (128 << 10)).then_some(())
    });
}

fn nobody_asks_too_often(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("the server listens");
    let refused = (0..100).find_map(|_| {
        let answer = connection.post("/api/scores", "{}").expect("an answer");
        (answer.status != 400).then_some(answer)
    });
    let refused = refused.expect("there is a limit");
    assert_eq!(refused.status, 429);
    let wait: u64 = refused
        .field("Retry-After")
        .and_then(|seconds| seconds.parse().ok())
        .expect("how long to wait");
    assert!((1..=3).contains(&wait), "{wait} s");
    assert!(refused.json()["error"].is_string());
    get(address, "/api/scores");
}

#[test]
fn streams_end_with_the_service() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    let mut listener = Connection::open(address).expect("the server listens");
    listener.open_stream("/api/live").expect("a head");
    hear(&mut listener, |event| event["count"] == 0);
    guest.signal(Signal::SIGTERM);
    assert_eq!(listener.chunk().expect("the last chunk"), "");
    assert_eq!(listener.drain().expect("an orderly end"), 0);
    assert_eq!(guest.wait_for_exit(), 0);
}
