//! The service on a socket of the host, asked as a browser would ask.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use edge_nal::TcpBind as _;
use landfall::{Heap, Info};

fn info() -> Info {
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
            app_2048::serve(listener, info).await
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

const FILES: [(&str, &str, &[u8]); 5] = [
    ("/", "text/html; charset=utf-8", b"<!doctype html>"),
    ("/style.css", "text/css; charset=utf-8", b"/*"),
    ("/game.js", "text/javascript; charset=utf-8", b"//"),
    ("/game.wasm", "application/wasm", b"\0asm\x01\0\0\0"),
    ("/icon.svg", "image/svg+xml", b"<svg"),
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
    assert_eq!(body, app_2048::status::json(&info()));

    let lost = ask(server, "GET /nowhere", "");
    assert_eq!(lost.status(), "404");
    assert_eq!(
        lost.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(ask(server, "GET /?seed=123", "").status(), "200");
}

#[test]
fn the_wasm_is_small() {
    let server = start();
    let size = ask(server, "GET /game.wasm", "").body.len();
    assert!(size < 10 * 1024, "{size} bytes");
}
