//! The 2048 service over HTTP: the same questions to the machine and to the process.
//!
//! Here: what the server does with any request. `api`: scores and live scores.

#![forbid(unsafe_code)]

mod api;

use std::io::Read as _;
use std::net::SocketAddr;

use flate2::read::GzDecoder;

use landfall_tests::http::{ask, get, info};
use landfall_tests::{Connection, Guest, Lab};

/// What the service holds: path, media type, and how it begins.
const FILES: [(&str, &str, &[u8]); 8] = [
    ("/", "text/html; charset=utf-8", b"<!doctype html>"),
    ("/style.css", "text/css; charset=utf-8", b""),
    ("/game.js", "text/javascript; charset=utf-8", b""),
    ("/common.js", "text/javascript; charset=utf-8", b""),
    ("/server.js", "text/javascript; charset=utf-8", b""),
    ("/game.wasm", "application/wasm", b"\0asm\x01\0\0\0"),
    ("/icon.svg", "image/svg+xml", b"<svg"),
    ("/sw.js", "text/javascript; charset=utf-8", b""),
];

#[test]
fn the_service_on_virt() {
    on_machine("virt", "Cortex-A57");
}

#[test]
fn the_service_on_virt_armv7() {
    on_machine("virt-armv7", "Cortex-A7");
}

fn on_machine(board: &str, cpu: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.machine("2048").board(board).start();
    let address = guest.wait_until_it_listens();
    check_all(&mut guest, address, board);
    let info = info(address);
    assert_eq!(info["cpu"], cpu);
    let heap = |name: &str| {
        info["heap"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("{info}"))
    };
    assert_eq!(heap("used") + heap("free"), heap("total"), "{info}");
    // Nearly all of the 64 MiB. Connections have large buffers while there is plenty, but half is kept.
    assert!((48 << 20..64 << 20).contains(&heap("total")), "{info}");
    assert!((1..36 << 20).contains(&heap("used")), "{info}");
    // The connection that asks, and perhaps one that has not quite ended.
    let open = info["sockets"]["tcp"]["open"]
        .as_u64()
        .unwrap_or_else(|| panic!("{info}"));
    assert!((1..=16).contains(&open), "{info}");
}

#[test]
fn the_service_on_unix() {
    let Some(lab) = Lab::open() else { return };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    check_all(&mut guest, address, "unix");
    let info = info(address);
    assert_eq!(info["cpu"], std::env::consts::ARCH);
    assert!(
        info["heap"].is_null() && info["sockets"].is_null(),
        "{info}"
    );
}

fn check_all(guest: &mut Guest, address: SocketAddr, board: &str) {
    files_have_type_length_and_protection(address);
    browsers_need_not_load_twice(address);
    head_is_get_without_the_body(address);
    the_page_names_only_what_is_served(address);
    nothing_names_another_origin(address);
    unknown_paths_and_wrong_methods(address);
    wrong_requests_are_refused(address);
    requests_may_be_cut_anywhere(address);
    old_clients_are_served(address);
    pipelined_requests_are_answered_in_order(address);
    a_connection_serves_a_thousand_requests(address);
    the_status_is_plausible(address, board);
    files_are_compressed_for_who_accepts_it(address);
    api::check_all(guest, address);
    guest.assert_well();
}

fn files_have_type_length_and_protection(address: SocketAddr) {
    for (path, media_type, beginning) in FILES {
        let file = get(address, path);
        assert_eq!(file.field("Content-Type"), Some(media_type), "{path}");
        assert_eq!(
            file.field("Content-Length"),
            Some(&*file.body.len().to_string()),
            "{path}"
        );
        assert!(
            !file.body.is_empty() && file.body.starts_with(beginning),
            "{path}"
        );
        assert_eq!(file.field("Cache-Control"), Some("no-cache"), "{path}");
        assert_eq!(
            file.field("X-Content-Type-Options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(file.field("Referrer-Policy"), Some("no-referrer"), "{path}");
        let policy = file.field("Content-Security-Policy").expect("a policy");
        assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains('*'),
            "{path}: {policy}"
        );
        // Each is the same file each time.
        assert_eq!(get(address, path).body, file.body, "{path}");
    }
}

fn browsers_need_not_load_twice(address: SocketAddr) {
    let mut tags = Vec::new();
    let mut connection = Connection::open(address).expect("the server listens");
    for (path, ..) in FILES {
        let tag = connection
            .request("GET", path, "")
            .expect("an answer")
            .field("ETag")
            .map(str::to_owned);
        let tag = tag.unwrap_or_else(|| panic!("{path} has no tag"));
        let matching = [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ];
        for known in matching {
            let again = connection
                .request("GET", path, &format!("If-None-Match: {known}\r\n"))
                .expect("an answer");
            assert_eq!(
                (again.status, again.field("ETag")),
                (304, Some(&*tag)),
                "{path} {known}"
            );
        }
        let other = connection
            .request("GET", path, "If-None-Match: \"other\"\r\n")
            .expect("an answer");
        assert_eq!(other.status, 200, "{path}");
        assert!(!tags.contains(&tag), "two files have the tag {tag}");
        tags.push(tag);
    }
}

fn files_are_compressed_for_who_accepts_it(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("the server listens");
    let (mut plain_bytes, mut sent_bytes) = (0, 0);
    for (path, ..) in FILES {
        let mut with = |fields: &str| connection.request("GET", path, fields).expect("an answer");
        let plain = with("");
        let gzip = with("Accept-Encoding: gzip, deflate, br\r\n");
        assert_eq!(plain.field("Content-Encoding"), None, "{path}");
        (plain_bytes, sent_bytes) = (plain_bytes + plain.body.len(), sent_bytes + gzip.body.len());
        if gzip.field("Content-Encoding").is_none() {
            assert_eq!(gzip.body, plain.body, "{path}");
            continue;
        }
        for response in [&plain, &gzip] {
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{path}");
        }
        let mut unpacked = Vec::new();
        GzDecoder::new(&*gzip.body)
            .read_to_end(&mut unpacked)
            .expect("the body is gzip");
        assert!(unpacked == plain.body, "{path}");
        assert_eq!(
            with("Accept-Encoding: gzip;q=0, *\r\n").body,
            plain.body,
            "{path}"
        );
        let tag = gzip.field("ETag").expect("a tag");
        assert_ne!(Some(tag), plain.field("ETag"), "{path}");
        let known = format!("If-None-Match: {tag}\r\n");
        assert_eq!(with(&known).status, 200, "{path}");
        assert_eq!(
            with(&format!("{known}Accept-Encoding: gzip\r\n")).status,
            304,
            "{path}"
        );
    }
    assert!(
        sent_bytes * 2 < plain_bytes,
        "{sent_bytes} of {plain_bytes}"
    );
}

fn head_is_get_without_the_body(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("the server listens");
    for path in [
        "/",
        "/style.css",
        "/game.js",
        "/game.wasm",
        "/icon.svg",
        "/nowhere",
    ] {
        let full = connection.request("GET", path, "").expect("an answer");
        let head = connection.request("HEAD", path, "").expect("an answer");
        assert_eq!(
            (head.status, &head.fields),
            (full.status, &full.fields),
            "{path}"
        );
        assert!(head.body.is_empty(), "{path}");
    }
}

/// The values of the attributes that make a browser load something.
fn links(page: &str) -> Vec<&str> {
    let after = |name| {
        page.split(name)
            .skip(1)
            .filter_map(|rest: &str| rest.split('"').next())
    };
    after(" href=\"").chain(after(" src=\"")).collect()
}

fn the_page_names_only_what_is_served(address: SocketAddr) {
    let page = get(address, "/");
    let links = links(page.text());
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        get(address, &format!("/{}", link.trim_start_matches('/')));
    }
}

fn nothing_names_another_origin(address: SocketAddr) {
    /// Names of XML languages are no addresses.
    const LANGUAGES: [&str; 2] = ["http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"];
    let other = [
        "http://", "https://", "ws://", "wss://", "\"//", "'//", "(//", "=//",
    ];
    for path in FILES.map(|(path, ..)| path).into_iter().chain(["/nowhere"]) {
        let file = ask(address, "GET", path).expect("an answer");
        let mut text = String::from_utf8_lossy(&file.body).into_owned();
        for language in LANGUAGES {
            text = text.replace(language, "");
        }
        for scheme in other {
            let at = text.find(scheme);
            assert!(at.is_none(), "{path} has {scheme:?} at byte {at:?}");
        }
    }
}

fn unknown_paths_and_wrong_methods(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("the server listens");
    for path in [
        "/nowhere",
        "/index",
        "//",
        "/../etc/passwd",
        "/%2e%2e/",
        "/game.wasm/",
        "/api",
    ] {
        let response = connection.request("GET", path, "").expect("an answer");
        assert_eq!(response.status, 404, "{path}");
    }
    for path in ["/", "/game.wasm", "/api/info"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let response = connection.request(method, path, "").expect("an answer");
            assert_eq!(
                (response.status, response.field("Allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
    }
    assert_eq!(
        connection
            .request("GET", "/?seed=1", "")
            .expect("an answer")
            .status,
        200
    );
}

/// A request with one field more.
fn with(field: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n")
}

/// Requests that are none, or ask too much, and the status that says so.
fn wrong_requests() -> Vec<(u16, String)> {
    let bad_lines = [
        "GET",
        "GET /",
        "GET / HTTP/1.1 x",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1",
        "GET / HTTP/x.y",
        "GET / http/1.1",
        "GET / HTTPS/1.1",
        "GET index.html HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "G\u{0}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "\u{16}\u{3}\u{1}\u{2}\u{0}",
        "GET / HTTP/1.1\rHost: test",
        "SSH-2.0-OpenSSH_9",
    ];
    let bad_fields = [
        "Host: other",
        "no colon",
        ": nothing",
        " folded: line",
        "Name : space",
        "Na me: space",
        "Name: a\u{0}b",
        "Name: a\u{7}b",
        "Name: a\rb",
        "Content-Length: x",
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1, 1",
        "Content-Length: 0x1",
        "Content-Length:",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ];
    let long = "x".repeat(2000);
    let longer = "x".repeat(5000);
    let many: String = (0..100).map(|number| format!("F{number}: v\r\n")).collect();
    let mut wrong: Vec<(u16, String)> = Vec::new();
    wrong.extend(bad_lines.map(|line| (400, format!("{line}\r\nHost: test\r\n\r\n"))));
    wrong.extend(bad_fields.map(|field| (400, with(field))));
    wrong.extend([
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\nHost: test\n\n".to_owned()),
        (400, "\r\n".repeat(10)),
        (
            400,
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        (
            400,
            "CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        ),
        (
            413,
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 65537\r\n\r\n".to_owned(),
        ),
        (
            413,
            format!(
                "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
                "9".repeat(30)
            ),
        ),
        (414, format!("GET /{long} HTTP/1.1\r\nHost: test\r\n\r\n")),
        (414, format!("GET /{longer}")),
        (431, with(&format!("Name: {longer}"))),
        (431, with(&format!("{longer}: value"))),
        (431, with(many.trim_end())),
        (417, with("Expect: miracles\r\nContent-Length: 1")),
        (501, with("Transfer-Encoding: gzip")),
        (501, "BREW /pot HTTP/1.1\r\nHost: test\r\n\r\n".to_owned()),
        (501, "get / HTTP/1.1\r\nHost: test\r\n\r\n".to_owned()),
        (505, "GET / HTTP/2.0\r\nHost: test\r\n\r\n".to_owned()),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (505, "GET / HTTP/0.9\r\nHost: test\r\n\r\n".to_owned()),
    ]);
    wrong
}

fn wrong_requests_are_refused(address: SocketAddr) {
    for (status, request) in wrong_requests() {
        let shown: String = request.escape_debug().take(80).collect();
        let mut connection = Connection::open(address).expect("the server listens");
        connection
            .send(&request)
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let response = connection
            .response("GET")
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(response.status, status, "{shown}");
        assert_eq!(response.field("Connection"), Some("close"), "{shown}");
        assert_eq!(
            response.field("X-Content-Type-Options"),
            Some("nosniff"),
            "{shown}"
        );
        // Whatever else was sent is not taken for another request.
        assert_eq!(
            connection
                .drain()
                .unwrap_or_else(|error| panic!("{shown}: {error}")),
            0,
            "{shown}"
        );
    }
    // A request that ends in the middle is wrong too, and one that never begins is nothing.
    let mut connection = Connection::open(address).expect("the server listens");
    connection.send("GET / HT").expect("the server reads");
    connection.finish().expect("the server listens");
    assert_eq!(connection.response("GET").expect("an answer").status, 400);
    let mut connection = Connection::open(address).expect("the server listens");
    connection.finish().expect("the server listens");
    assert_eq!(connection.drain().expect("the server closes"), 0);
    get(address, "/");
}

fn requests_may_be_cut_anywhere(address: SocketAddr) {
    let request = "\r\nGET /style.css HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"no\"\r\n\r\n";
    let expected = get(address, "/style.css").body;
    let mut connection = Connection::open(address).expect("the server listens");
    for at in 0..request.len() {
        connection.send(&request[..at]).expect("the server reads");
        connection.send(&request[at..]).expect("the server reads");
        let response = connection
            .response("GET")
            .unwrap_or_else(|error| panic!("cut at {at}: {error}"));
        assert!(
            response.status == 200 && response.body == expected,
            "cut at {at}"
        );
    }
}

fn old_clients_are_served(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("the server listens");
    connection
        .send("GET / HTTP/1.0\r\n\r\n")
        .expect("the server reads");
    let response = connection.response("GET").expect("an answer");
    assert_eq!(
        (response.status, response.field("Connection")),
        (200, Some("close"))
    );
    assert_eq!(connection.drain().expect("the server closes"), 0);
    let mut connection = Connection::open(address).expect("the server listens");
    for _ in 0..2 {
        connection
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .expect("the server reads");
        let response = connection.response("GET").expect("an answer");
        assert_eq!(
            (response.status, response.field("Connection")),
            (200, Some("keep-alive"))
        );
    }
}

fn pipelined_requests_are_answered_in_order(address: SocketAddr) {
    const ROUNDS: usize = 20;
    let files = FILES.map(|(path, ..)| (path, get(address, path).body));
    let all: String = files
        .iter()
        .map(|(path, _)| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .collect();
    let mut connection = Connection::open(address).expect("the server listens");
    connection
        .send(all.repeat(ROUNDS))
        .expect("the server reads");
    for round in 0..ROUNDS {
        for (path, body) in &files {
            let response = connection
                .response("GET")
                .unwrap_or_else(|error| panic!("{path}, {round}: {error}"));
            assert!(response.body == *body, "{path}, {round}");
        }
    }
}

fn a_connection_serves_a_thousand_requests(address: SocketAddr) {
    /// More than a few connections take, less than a thousand leaks would.
    const SLACK: i64 = 64 << 10;
    let mut connection = Connection::open(address).expect("the server listens");
    let page = get(address, "/").body;
    let used = || info(address)["heap"]["used"].as_i64();
    let before = used();
    for number in 0..1000 {
        let response = connection
            .request("GET", "/", "")
            .unwrap_or_else(|error| panic!("request {number}: {error}"));
        assert!(
            response.status == 200 && response.body == page,
            "request {number}"
        );
        assert_eq!(response.field("Connection"), None, "request {number}");
    }
    if let Some((before, after)) = before.zip(used()) {
        assert!(
            after <= before + SLACK,
            "the heap has grown from {before} to {after} bytes"
        );
    }
}

fn the_status_is_plausible(address: SocketAddr, board: &str) {
    let response = get(address, "/api/info");
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    let (first, second) = (response.json(), info(address));
    assert_eq!(
        (&first["app"], &first["board"]),
        (&"2048".into(), &board.into())
    );
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    let uptime = |info: &serde_json::Value| {
        info["uptime_ms"]
            .as_u64()
            .unwrap_or_else(|| panic!("{info}"))
    };
    assert!(
        uptime(&first) > 0 && uptime(&second) >= uptime(&first),
        "{first} {second}"
    );
}
