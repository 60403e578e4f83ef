//! What the server answers to which bytes.

mod support;

use landfall_http::{
    Asset, BodyError, Gzip, Handler, Limits, Method, Request, Response, Routes, StatusCode,
};
use support::{Answer, Server, answer, answers};

static PAGE: [u8; 10_000] = [b'x'; 10_000];
static ASSETS: [Asset; 2] = [
    Asset {
        path: "/",
        content_type: "text/html; charset=utf-8",
        body: b"<p>page</p>",
        etag: "\"abc\"",
        cache_control: "no-cache",
        gzip: None,
    },
    Asset {
        path: "/large",
        content_type: "application/wasm",
        body: &PAGE,
        etag: "\"large\"",
        cache_control: "max-age=60",
        gzip: Some(Gzip {
            body: b"squeezed",
            etag: "\"large-gzip\"",
        }),
    },
];

fn site() -> Routes<'static> {
    Routes::new()
        .assets(&ASSETS)
        .get("/api/info", |_| Response::json("{}"))
        .on(Method::Post, "/api/info", |_| {
            Response::new(StatusCode::CREATED)
        })
        .get("/target", |request| {
            Response::text(format!(
                "{} {}",
                request.path(),
                request.query().unwrap_or("-")
            ))
        })
        .post("/echo", async |request: &mut Request<'_>| {
            match request.read_body(20).await {
                Ok(body) => Response::bytes("application/octet-stream", body),
                Err(error) => error.into(),
            }
        })
        .get("/agent", |request| {
            Response::text(request.header("user-AGENT").unwrap_or("none").to_owned())
        })
}

/// Sends the body back.
struct Echo;

impl Handler for Echo {
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        if request.path() == "/ignore" {
            return Response::text("ignored");
        }
        match request.read_body(100).await {
            Ok(body) => Response::bytes("application/octet-stream", body),
            Err(error) => error.into(),
        }
    }
}

fn get(server: &mut Server, path: &str) -> Answer {
    answer(server.exchange(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")))
}

#[test]
fn a_closure_is_a_server() {
    let mut server = Server::new(|_: &Request<'_>| Response::text("hello\n"));
    let client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    server.run();
    let answer = answer(client.received());
    assert_eq!((answer.status, answer.text()), (200, "hello\n"));
    assert_eq!(
        answer.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(client.writes(), 1, "head and body leave together");
    assert!(!client.is_closed(), "HTTP/1.1 keeps the connection");
}

#[test]
fn every_response_tells_the_browser_what_it_must_not_do() {
    let mut server = Server::new(site());
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /no HTTP/1.1\r\nHost: x\r\n\r\n",
        "?\r\n\r\n",
    ] {
        let answer = answer(server.exchange(request));
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
        assert_eq!(
            answer.header("Cross-Origin-Opener-Policy"),
            Some("same-origin")
        );
        let policy = answer.header("Content-Security-Policy").expect("a policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("'wasm-unsafe-eval'"));
        assert_eq!(answer.header("Server"), None);
    }
}

#[test]
fn assets_have_type_length_tag_and_cache_control() {
    let mut server = Server::new(site());
    let small = get(&mut server, "/");
    assert_eq!(small.text(), "<p>page</p>");
    assert_eq!(small.header("ETag"), Some("\"abc\""));
    assert_eq!(small.header("Cache-Control"), Some("no-cache"));
    let large = get(&mut server, "/large");
    assert_eq!(
        (large.body.as_slice(), large.header("Content-Type")),
        (&PAGE[..], Some("application/wasm"))
    );
}

#[test]
fn a_client_that_has_the_asset_gets_304() {
    let mut server = Server::new(site());
    let tags = [
        ("\"abc\"", 304),
        ("W/\"abc\"", 304),
        ("\"x\", \"abc\"", 304),
        ("*", 304),
        ("\"ab\"", 200),
        ("abc", 200),
    ];
    for (tag, status) in tags {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nif-none-match: {tag}\r\n\r\n");
        let answer = answer(server.exchange(request));
        assert_eq!(answer.status, status, "{tag}");
        assert_eq!(answer.header("ETag"), Some("\"abc\""));
        assert_eq!(answer.header("Content-Length").is_some(), status == 200);
    }
}

#[test]
fn assets_are_compressed_for_clients_that_accept_it() {
    let mut server = Server::new(site());
    let mut ask = |fields: &str| {
        let request = format!("GET /large HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        answer(server.exchange(request))
    };
    for accepting in ["gzip", "gzip, br", "*;q=0.1"] {
        let gzip = ask(&format!("Accept-Encoding: {accepting}\r\n"));
        assert_eq!((gzip.status, gzip.text()), (200, "squeezed"), "{accepting}");
        assert_eq!(gzip.header("Content-Encoding"), Some("gzip"));
        assert_eq!(gzip.header("ETag"), Some("\"large-gzip\""));
        assert_eq!(gzip.header("Vary"), Some("Accept-Encoding"));
        assert_eq!(gzip.header("Content-Type"), Some("application/wasm"));
    }
    for fields in [
        "",
        "Accept-Encoding: gzip;q=0\r\n",
        "Accept-Encoding: br\r\n",
    ] {
        let plain = ask(fields);
        assert_eq!(
            (plain.status, plain.body.len()),
            (200, PAGE.len()),
            "{fields}"
        );
        assert_eq!(plain.header("Content-Encoding"), None);
        assert_eq!(plain.header("ETag"), Some("\"large\""));
        assert_eq!(plain.header("Vary"), Some("Accept-Encoding"));
    }
    // The tag of one representation does not stand for the other.
    for (tag, coding, status) in [
        ("large", "identity", 304),
        ("large", "gzip", 200),
        ("large-gzip", "gzip", 304),
        ("large-gzip", "identity", 200),
    ] {
        let again = ask(&format!(
            "If-None-Match: \"{tag}\"\r\nAccept-Encoding: {coding}\r\n"
        ));
        assert_eq!(again.status, status, "{tag} {coding}");
        assert_eq!(again.header("Vary"), Some("Accept-Encoding"));
    }
    let page =
        answer(server.exchange("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"));
    assert_eq!(
        (page.header("Vary"), page.header("Content-Encoding")),
        (None, None)
    );
}

#[test]
fn routes_read_bodies() {
    let mut server = Server::new(site());
    let mut post = |body: &str| {
        let length = body.len();
        let request =
            format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        answer(server.exchange(request))
    };
    let echo = post("twenty bytes or less");
    assert_eq!((echo.status, echo.text()), (200, "twenty bytes or less"));
    let long = post("more than twenty bytes");
    assert_eq!(
        (long.status, long.header("Connection")),
        (413, Some("close"))
    );
    let other = get(&mut server, "/echo");
    assert_eq!((other.status, other.header("Allow")), (405, Some("POST")));
}

#[test]
fn head_is_get_without_the_body() {
    let mut server = Server::new(site());
    for path in ["/", "/large", "/api/info", "/none"] {
        let full = get(&mut server, path);
        let bytes = server.exchange(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = answers(bytes.as_bytes(), &["HEAD"]).remove(0);
        assert_eq!(head.head, full.head);
    }
}

#[test]
fn unknown_paths_and_wrong_methods() {
    let mut server = Server::new(site());
    assert_eq!(get(&mut server, "/none").status, 404);
    let wrong = |server: &mut Server, method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = answer(server.exchange(request));
        (answer.status, answer.header("Allow").map(str::to_owned))
    };
    let allow = |methods: &str| (405, Some(methods.to_owned()));
    assert_eq!(wrong(&mut server, "DELETE", "/"), allow("GET, HEAD"));
    assert_eq!(
        wrong(&mut server, "PUT", "/api/info"),
        allow("GET, HEAD, POST")
    );
    assert_eq!(wrong(&mut server, "POST", "/api/info"), (201, None));
    assert_eq!(wrong(&mut server, "OPTIONS", "/none"), (404, None));
}

#[test]
fn a_handler_sees_path_query_and_fields() {
    let mut server = Server::new(site());
    assert_eq!(get(&mut server, "/target?a=1?b").text(), "/target a=1?b");
    assert_eq!(
        get(&mut server, "http://host:80/target?q").text(),
        "/target q"
    );
    assert_eq!(get(&mut server, "http://host").text(), "<p>page</p>");
    assert_eq!(get(&mut server, "/agent").text(), "none");
    let request =
        "GET /agent HTTP/1.1\r\nHost: x\r\nUser-Agent-2: no\r\nUser-Agent: \t curl \r\n\r\n";
    assert_eq!(answer(server.exchange(request)).text(), "curl");
}

#[test]
fn connections_stay_open_as_the_client_wishes() {
    let mut server = Server::new(site());
    let cases = [
        ("GET /api/info HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (
            "GET /api/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            Some("close"),
        ),
        (
            "GET /api/info HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n",
            Some("close"),
        ),
        ("GET /api/info HTTP/1.0\r\n\r\n", Some("close")),
        (
            "GET /api/info HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            Some("keep-alive"),
        ),
    ];
    for (request, expected) in cases {
        let client = server.connect();
        client.send(request);
        server.run();
        assert_eq!(
            answer(client.received()).header("Connection"),
            expected,
            "{request}"
        );
        assert_eq!(client.is_closed(), expected == Some("close"), "{request}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut server = Server::new(site());
    let client = server.connect();
    let requests: String = (0..200)
        .map(|n| format!("GET /target?{n} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .collect();
    client.send(requests);
    server.run();
    let answers = answers(&client.received(), &[]);
    let texts: Vec<_> = answers.iter().map(Answer::text).collect();
    let expected: Vec<_> = (0..200).map(|n| format!("/target {n}")).collect();
    assert_eq!(texts, expected);
}

/// Four requests with and without bodies.
const MIXED: &str = "\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
    GET /b HTTP/1.1\r\nHost: x\r\n\r\n\
    POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
    3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
    POST /ignore HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
    GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn check_mixed(bytes: &[u8], how: usize) {
    let answers = answers(bytes, &[]);
    let texts: Vec<_> = answers.iter().map(Answer::text).collect();
    assert_eq!(
        texts,
        ["hello", "", "abc0123456789", "ignored", ""],
        "{how}"
    );
}

#[test]
fn requests_may_be_split_anywhere() {
    let mut server = Server::new(Echo);
    for at in 0..=MIXED.len() {
        let client = server.connect();
        let (first, second) = MIXED.split_at(at);
        client.send(first);
        server.run();
        client.send(second);
        server.run();
        client.finish();
        server.run();
        check_mixed(&client.received(), at);
        assert!(client.is_gone());
    }
}

#[test]
fn requests_may_arrive_in_pieces_of_any_size() {
    let mut server = Server::new(Echo);
    for size in 1..=64 {
        let client = server.connect();
        client.set_piece(size);
        client.send(MIXED);
        server.run();
        check_mixed(&client.received(), size);
    }
}

#[test]
fn a_large_request_behind_many_small_ones_fits() {
    let mut server = Server::new(site());
    let client = server.connect();
    let padding = "p".repeat(3900);
    for n in 1..100 {
        client.send("GET /api/info HTTP/1.1\r\nHost: x\r\n\r\n".repeat(n));
        client.send(format!(
            "GET /agent HTTP/1.1\r\nHost: x\r\nUser-Agent: {padding}\r\n\r\n"
        ));
        server.run();
        let answers = answers(&client.received(), &[]);
        assert_eq!(answers.len(), n + 1);
        assert_eq!(answers[n].text(), padding);
    }
}

#[test]
fn expectations() {
    let mut server = Server::new(Echo);
    let client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    server.run();
    assert_eq!(client.received_text(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok");
    server.run();
    assert_eq!(answer(client.received()).text(), "ok");
    assert!(!client.is_closed());

    client.send(
        "POST /ignore HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n",
    );
    server.run();
    let unwanted = answer(client.received());
    assert_eq!(
        (unwanted.text(), unwanted.header("Connection")),
        ("ignored", Some("close"))
    );

    let request = "POST / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(answer(server.exchange(request)).status, 417);
}

#[test]
fn bodies_have_limits() {
    let mut server = Server::new(Echo);
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}");
    let hundred = "x".repeat(100);
    let cases = [
        (post("Content-Length: 100", &hundred), 200),
        (post("Content-Length: 101", ""), 413),
        (post("Content-Length: 65536", ""), 413),
        (post("Content-Length: 65537", ""), 413),
        (post("Content-Length: 99999999999", ""), 413),
        (
            post("Content-Length: 99999999999999999999999999999999999", ""),
            413,
        ),
        (
            post(
                "Transfer-Encoding: chunked",
                &format!("64\r\n{hundred}\r\n0\r\n\r\n"),
            ),
            200,
        ),
        (
            post(
                "Transfer-Encoding: chunked",
                &format!("64\r\n{hundred}\r\n1\r\nx\r\n0\r\n\r\n"),
            ),
            413,
        ),
        (post("Transfer-Encoding: chunked", "10001\r\n"), 413),
        (
            post(
                "Transfer-Encoding: chunked",
                "ffffffffffffffffffffffffffffff\r\n",
            ),
            413,
        ),
    ];
    for (request, status) in cases {
        let answer = answer(server.exchange(&request));
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(
            answer.header("Connection").is_some(),
            status == 413,
            "{request}"
        );
    }
}

#[test]
fn broken_chunks_are_refused() {
    let mut server = Server::new(Echo);
    let long_extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(200));
    let long_trailer = format!("0\r\nT: {}\r\n\r\n", "t".repeat(2000));
    let long_size = format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(200));
    let bodies = [
        "\r\n",
        ";\r\n",
        "x\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "-1\r\n",
        "0x1\r\nx\r\n",
        "1 \r\nx\r\n",
        " 1\r\nx\r\n",
        "1\nx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx\r0\r\n\r\n",
        "1\rx",
        "1;a\nb\r\nx",
        "1;\0\r\nx",
        "0\r\nT\n\r\n",
        "0\r\n\r ",
        "0\r\n\n",
        "0\r\nT: \x01\r\n\r\n",
        &long_extension,
        &long_trailer,
        &long_size,
    ];
    for body in bodies {
        let request =
            format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let answer = answer(server.exchange(request));
        assert_eq!(
            (answer.status, answer.header("Connection")),
            (400, Some("close")),
            "{body:?}"
        );
    }
}

#[test]
fn a_body_that_ends_early_is_an_error() {
    struct Check;
    impl Handler for Check {
        async fn handle(&self, request: &mut Request<'_>) -> Response {
            assert_eq!(request.read_body(100).await, Err(BodyError::Disconnected));
            assert_eq!(
                request.read(&mut [0; 4]).await,
                Err(BodyError::Disconnected)
            );
            Response::error(StatusCode::BAD_REQUEST)
        }
    }
    let mut server = Server::new(Check);
    for body in [
        "Content-Length: 3\r\n\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ] {
        let client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{body}"));
        client.finish();
        server.run();
        assert_eq!(
            answer(client.received()).header("Connection"),
            Some("close")
        );
        assert!(client.is_gone());
    }
}

#[test]
fn malformed_requests() {
    let mut server = Server::new(site());
    let line = |length: usize| {
        format!("GET /{}", "a".repeat(length - "GET / HTTP/1.1".len())) + " HTTP/1.1\r\n"
    };
    let many: String = (0..41).map(|n| format!("F{n}: v\r\n")).collect();
    let cases: Vec<(String, u16)> = [
        // The request line.
        ("GET\r\n", 400),
        ("GET /\r\n", 400),
        ("GET / \r\n", 400),
        (" GET / HTTP/1.1\r\n", 400),
        ("GET  / HTTP/1.1\r\n", 400),
        ("GET /  HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1 \r\n", 400),
        ("GET / x HTTP/1.1\r\n", 400),
        ("GET\t/ HTTP/1.1\r\n", 400),
        ("GET index.html HTTP/1.1\r\n", 400),
        ("GET /a#b HTTP/1.1\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\n", 400),
        ("GET ftp://x/ HTTP/1.1\r\n", 400),
        ("GET http:// HTTP/1.1\r\n", 400),
        ("G(T / HTTP/1.1\r\n", 400),
        ("GET / http/1.1\r\n", 400),
        ("GET / HTTP/1\r\n", 400),
        ("GET / HTTP/11\r\n", 400),
        ("GET / HTTP/1.1x\r\n", 400),
        ("GET / HTTP/2.0\r\n", 505),
        ("GET / HTTP/1.2\r\n", 505),
        ("GET / HTTP/0.9\r\n", 505),
        ("PRI * HTTP/2.0\r\n", 505),
        ("get / HTTP/1.1\r\n", 501),
        ("BREW / HTTP/1.1\r\n", 501),
        ("CONNECT x:80 HTTP/1.1\r\n", 400),
        ("CONNECT / HTTP/1.1\r\n", 501),
        // Bytes that have no place in a head.
        ("GET / HTTP/1.1\n", 400),
        ("GET / HTTP/1.1\r", 0),
        ("GET / HTTP/1.1\rHost: x\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\n", 400),
        ("\x16\x03\x01\x02", 400),
        ("\r\n\r\n\r\n\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n", 400),
        // Header fields.
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA(: b\r\n\r\n", 400),
        // The length of the body.
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ]
    .into_iter()
    .map(|(request, status)| (request.to_owned(), status))
    .chain([
        (line(1024) + "Host: x\r\n\r\n", 404),
        (line(1025), 414),
        (format!("GET /{}", "a".repeat(1022)), 414),
        ("a".repeat(5000), 414),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(4100)), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "A: b\r\n".repeat(700)), 431),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
    ])
    .collect();
    for (request, status) in cases {
        for piece in [usize::MAX, 1, 7] {
            let client = server.connect();
            client.set_piece(piece);
            client.send(&request);
            server.run();
            let received = client.received_text();
            if status == 0 {
                assert_eq!(received, "", "{request:?}");
                continue;
            }
            let answer = answer(&received);
            assert_eq!(answer.status, status, "{request:?}");
            if status != 404 {
                assert_eq!(answer.header("Connection"), Some("close"), "{request:?}");
                assert!(client.is_closed());
            }
        }
    }
}

#[test]
fn an_error_in_answer_to_head_has_no_body() {
    let mut server = Server::new(site());
    let bytes = server.exchange("HEAD / HTTP/1.1\r\n\r\n");
    assert!(bytes.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(bytes.ends_with("\r\n\r\n"));
}

#[test]
fn what_a_handler_says_cannot_break_the_response() {
    let mut server = Server::new(|_: &Request<'_>| {
        Response::text("x")
            .header("X-Copied", "a\r\nSet-Cookie: evil")
            .header("Content-Length", "7")
            .header("content-security-policy", "default-src 'none'")
    });
    let answer = get(&mut server, "/");
    assert_eq!(answer.header("X-Copied"), Some("a  Set-Cookie: evil"));
    assert_eq!(answer.header("Set-Cookie"), None);
    assert_eq!(answer.header("Content-Length"), Some("1"));
    assert_eq!(answer.head.matches("ontent-").count(), 4, "{}", answer.head);
    assert_eq!(
        answer.header("Content-Security-Policy"),
        Some("default-src 'none'")
    );
}

#[test]
fn a_body_can_be_read_piece_by_piece() {
    struct Count;
    impl Handler for Count {
        async fn handle(&self, request: &mut Request<'_>) -> Response {
            let (mut total, mut buffer) = (0, [0; 10]);
            loop {
                match request.read(&mut buffer).await {
                    Ok(0) => return Response::text(total.to_string()),
                    Ok(count) => total += count,
                    Err(error) => return error.into(),
                }
            }
        }
    }
    let limits = Limits {
        body_bytes: 100_000,
        ..Limits::default()
    };
    let mut server = Server::with_limits(limits, Count);
    let body = "x".repeat(100_000);
    for fields in [
        format!("Content-Length: 100000\r\n\r\n{body}"),
        format!("Transfer-Encoding: chunked\r\n\r\n186A0\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}");
        assert_eq!(answer(server.exchange(request)).text(), "100000");
    }
}
