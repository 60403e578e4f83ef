//! The service on a socket of the host, asked as a browser would ask.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use app_2048::monitor::{Counts, Monitor};
use edge_nal::TcpBind as _;
use game_2048::{Direction, Game, Outcome};
use landfall::{Heap, Info};

struct Test;

impl Monitor for Test {
    fn info(&self) -> Info {
        let heap = Some(Heap {
            used: 1000,
            free: 3000,
        });
        Info {
            board: "test",
            cpu: "none \"at all\"",
            unix_seconds: None,
            wall_clock: None,
            uptime_ms: 42,
            heap,
            sockets: None,
        }
    }

    fn metrics(&self) -> String {
        "tests_total 1\n".into()
    }

    fn log(&self) -> String {
        "a line\n".into()
    }

    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// Starts a server on a free port; it ends with the test's process.
fn start() -> SocketAddr {
    let (address_sender, address_receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        async_io::block_on(async {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = free.local_addr().expect("its address");
            drop(free);
            let listener = edge_nal_std::Stack::new()
                .bind(address)
                .await
                .expect("the same port");
            address_sender.send(address).expect("the test waits");
            app_2048::serve(listener, Test).await
        })
    });
    address_receiver
        .recv_timeout(Duration::from_secs(10))
        .expect("the server starts")
}

/// A response, in parts.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).expect("a status")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Sends one request and reads until the server closes the connection.
fn ask(server: SocketAddr, request_line: &str, fields: &str) -> Answer {
    let mut stream = TcpStream::connect(server).expect("the server accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    write!(
        stream,
        "{request_line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n"
    )
    .expect("the server reads");
    read_answer(stream)
}

fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("the server answers and closes");
    let end = bytes
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let body = bytes.split_off(end);
    Answer {
        head: String::from_utf8(bytes).expect("a head of text"),
        body,
    }
}

const FILES: [(&str, &str, &[u8]); 8] = [
    ("/", "text/html; charset=utf-8", b"<!doctype html>"),
    ("/style.css", "text/css; charset=utf-8", b"/*"),
    ("/game.js", "text/javascript; charset=utf-8", b"//"),
    ("/common.js", "text/javascript; charset=utf-8", b"//"),
    ("/server.js", "text/javascript; charset=utf-8", b"//"),
    ("/game.wasm", "application/wasm", b"\0asm\x01\0\0\0"),
    ("/icon.svg", "image/svg+xml", b"<svg"),
    ("/sw.js", "text/javascript; charset=utf-8", b"//"),
];

#[test]
fn the_service() {
    let server = start();
    for (path, content_type, beginning) in FILES {
        let got = ask(server, &format!("GET {path}"), "");
        assert_eq!(got.status(), "200", "{path}");
        assert_eq!(got.header("Content-Type"), Some(content_type), "{path}");
        assert_eq!(
            got.header("Content-Length"),
            Some(&*got.body.len().to_string()),
            "{path}"
        );
        assert_eq!(got.header("Cache-Control"), Some("no-cache"), "{path}");
        assert!(got.body.starts_with(beginning), "{path}");
        let policy = got.header("Content-Security-Policy").expect("a policy");
        assert!(policy.contains("default-src 'self'"), "{policy}");

        let etag = got.header("ETag").expect("an entity tag");
        let again = ask(
            server,
            &format!("GET {path}"),
            &format!("If-None-Match: {etag}\r\n"),
        );
        assert_eq!((again.status(), again.body.len()), ("304", 0), "{path}");

        let head = ask(server, &format!("HEAD {path}"), "");
        assert_eq!((head.status(), head.body.len()), ("200", 0), "{path}");
        assert_eq!(
            head.header("Content-Length"),
            got.header("Content-Length"),
            "{path}"
        );

        let refused = ask(server, &format!("DELETE {path}"), "");
        assert_eq!(refused.status(), "405", "{path}");
        assert_eq!(refused.header("Allow"), Some("GET, HEAD"), "{path}");
    }

    let status = ask(server, "GET /api/info", "");
    assert_eq!(status.header("Content-Type"), Some("application/json"));
    assert_eq!(status.header("Cache-Control"), Some("no-store"));
    let body = String::from_utf8(status.body).expect("text");
    assert_eq!(body, app_2048::status::json(&Test.info()));

    let lost = ask(server, "GET /nowhere", "");
    assert_eq!(lost.status(), "404");
    assert_eq!(
        lost.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(ask(server, "GET /?seed=123", "").status(), "200");
}

#[test]
fn metrics_and_log_lines_are_the_systems() {
    let server = start();
    for (path, content_type, text) in [
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "tests_total 1\n",
        ),
        ("/api/log", "text/plain; charset=utf-8", "a line\n"),
    ] {
        let answer = ask(server, &format!("GET {path}"), "");
        assert_eq!(answer.status(), "200", "{path}");
        assert_eq!(answer.header("Content-Type"), Some(content_type), "{path}");
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{path}");
        assert_eq!(answer.body, text.as_bytes(), "{path}");
    }
}

#[test]
fn the_wasm_is_small() {
    let server = start();
    let size = ask(server, "GET /game.wasm", "").body.len();
    assert!(size < 10 * 1024, "{size} bytes");
}

/// Sends a body; returns the status and the body of the answer.
fn post(server: SocketAddr, path: &str, fields: &str, body: impl AsRef<[u8]>) -> (String, String) {
    let body = body.as_ref();
    let mut stream = TcpStream::connect(server).expect("the server accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n",
        body.len()
    )
    .expect("the server reads");
    // A refusal may come before the end of a long body.
    let _ = stream.write_all(body);
    let answer = read_answer(stream);
    let status = answer.status().to_owned();
    (status, String::from_utf8(answer.body).expect("text"))
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

/// The first moves of a game that anybody can play: seed, moves, score.
fn game(seed: u64, most: usize) -> (String, u32) {
    let mut game = Game::new(seed);
    let mut moves = String::new();
    for direction in Direction::ALL.into_iter().cycle().take(most) {
        if game.play(direction) != Outcome::Unchanged {
            moves.push(direction.letter().into());
        }
    }
    (moves, game.score())
}

fn submission(name: &str, seed: u64, moves: &str, score: u32) -> String {
    format!(r#"{{"name":"{name}","seed":"{seed}","moves":"{moves}","score":{score}}}"#)
}

#[test]
fn scores_are_listed_once_and_best_first() {
    let server = start();
    let scores = |server| String::from_utf8(ask(server, "GET /api/scores", "").body).expect("text");
    assert_eq!(scores(server), r#"{"scores":[]}"#);
    let (moves, score) = game(1, 60);
    let ada = submission("Ada", 1, &moves, score);
    assert_eq!(
        post(server, "/api/scores", JSON, &ada),
        ("201".into(), r#"{"rank":1}"#.into())
    );
    let (status, reason) = post(server, "/api/scores", JSON, &ada);
    assert_eq!(status, "409", "{reason}");
    let (more_moves, more) = game(2, 200);
    assert!(more > score);
    let bob = submission("Bob", 2, &more_moves, more);
    assert_eq!(post(server, "/api/scores", JSON, bob).0, "201");
    let list = scores(server);
    let places = ["Bob", "Ada"].map(|name| list.find(name).expect("it is listed"));
    assert!(places.is_sorted(), "{list}");
    assert!(!list.contains(&moves), "{list}");
}

#[test]
fn forgeries_get_a_status_and_a_reason() {
    let server = start();
    let (moves, score) = game(1, 60);
    let sound = submission("Ada", 1, &moves, score);
    let mut bad_utf8 = sound.clone().into_bytes();
    bad_utf8[10] = 0xff;
    let cases: [(&str, &str, Vec<u8>); 13] = [
        ("422", JSON, submission("Ada", 1, &moves, score + 4).into()),
        ("422", JSON, submission("Ada", 2, &moves, score).into()),
        (
            "422",
            JSON,
            submission("Ada", 1, &format!("{moves}x"), score).into(),
        ),
        (
            "422",
            JSON,
            submission("Ada", 1, &"u".repeat(500), score).into(),
        ),
        (
            "422",
            JSON,
            submission("A\\u0007da", 1, &moves, score).into(),
        ),
        (
            "422",
            JSON,
            submission(&"Ada".repeat(10), 1, &moves, score).into(),
        ),
        (
            "413",
            JSON,
            submission("Ada", 1, &"u".repeat(20_001), score).into(),
        ),
        (
            "413",
            JSON,
            submission("Ada", 1, &"u".repeat(30_000), score).into(),
        ),
        ("400", JSON, sound[..sound.len() - 2].into()),
        (
            "400",
            JSON,
            sound.replace(&format!(":{score}"), ":1e99").into(),
        ),
        ("400", JSON, bad_utf8),
        ("400", JSON, Vec::new()),
        ("415", "Content-Type: text/plain\r\n", sound.clone().into()),
    ];
    for (status, fields, body) in cases {
        let sent = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let (got, reason) = post(server, "/api/scores", fields, body);
        assert_eq!(got, status, "{sent}: {reason}");
        assert!(reason.starts_with(r#"{"error":""#), "{reason}");
    }
    assert_eq!(post(server, "/api/scores", "", &sound).0, "415");
    // Beyond what the HTTP server takes for anybody.
    assert_eq!(post(server, "/api/scores", JSON, [b'x'; 100_000]).0, "413");
    assert_eq!(ask(server, "GET /api/scores", "").body, br#"{"scores":[]}"#);
    assert_eq!(post(server, "/api/scores", JSON, &sound).0, "201");
}

#[test]
fn nobody_asks_too_often() {
    let server = start();
    for path in ["/api/scores", "/api/live"] {
        let statuses = (0..100).map(|_| post(server, path, JSON, "{}").0);
        let statuses: Vec<_> = statuses.collect();
        let first = statuses.iter().position(|status| status == "429");
        assert!(first.is_some_and(|first| first >= 30), "{statuses:?}");
        assert_eq!(
            ask(server, "GET /api/info", "").status(),
            "200",
            "others go on"
        );
    }
}

/// Reads until `end` has come.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).expect("more comes");
        assert!(count > 0, "it ended after {text}");
        text.push_str(std::str::from_utf8(&piece[..count]).expect("text"));
    }
    text
}

#[test]
fn players_see_each_other() {
    let server = start();
    let report = |player: u32, name: &str, score: u32| {
        let body = format!(r#"{{"player":{player},"name":"{name}","score":{score}}}"#);
        post(server, "/api/live", JSON, body)
    };
    assert_eq!(
        report(11, "Ada", 8),
        ("200".into(), r#"{"player":1}"#.into())
    );
    let mut stream = TcpStream::connect(server).expect("the server accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    write!(stream, "GET /api/live HTTP/1.1\r\nHost: test\r\n\r\n").expect("the server reads");
    let text = read_until(&mut stream, "\n\n");
    assert!(text.contains("Content-Type: text/event-stream"), "{text}");
    assert!(text.contains("Transfer-Encoding: chunked"), "{text}");
    assert!(
        text.contains(r#"{"player":1,"name":"Ada","score":8}"#),
        "{text}"
    );
    assert!(!text.contains("11"), "{text}");
    assert_eq!(report(11, "Ada", 8).0, "200");
    assert_eq!(report(4, "A", 4_000_000).0, "422");
}
