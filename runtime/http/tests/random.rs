//! Bytes that nobody has thought of: the server never panics, never spins, and lets go.

mod support;

use landfall_http::{Handler, Request, Response};
use proptest::prelude::*;
use support::{Server, answers};

/// Reads the body for some paths and not for others.
struct Mixed;

impl Handler for Mixed {
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        let _ = (
            request.query(),
            request.header("Accept"),
            request.header("a"),
        );
        if request.path().len() > 2 {
            return Response::text("unread");
        }
        match request.read_body(50).await {
            Ok(body) => Response::bytes("text/plain", body),
            Err(error) => error.into(),
        }
    }
}

/// Pieces that requests are made of, whole and broken.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /abc?d HTTP/1.1\r\n",
        "HEAD * HTTP/1.0\r\n",
        "Host: x\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "A: b\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        " ",
        ":",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "hello",
        "GET",
        "http://x/",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /xyz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..50),
        1 => prop::collection::vec(0x20_u8..0x7f, 0..3000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces(
        fragments in prop::collection::vec(fragment(), 0..20),
        pieces in prop::sample::select(vec![1, 2, 3, 10, 1000, usize::MAX]),
        finish in any::<bool>(),
    ) {
        let mut server = Server::new(Mixed);
        let client = server.connect();
        client.set_piece(pieces);
        for fragment in fragments {
            client.send(fragment);
            server.run();
        }
        if finish {
            client.finish();
        }
        server.pass(if finish { 0 } else { 75 });
        prop_assert!(client.is_gone());
        // Whatever came, what went out is a sequence of whole responses.
        let bytes = client.received();
        if !bytes.windows(5).any(|window| window == b"HEAD ") {
            // Responses to HEAD cannot be told apart without the requests; the first always can.
            let heads = bytes.windows(9).filter(|window| window.starts_with(b"HTTP/1.1 ")).count();
            prop_assert_eq!(heads > 0, !bytes.is_empty());
        }
    }

    #[test]
    fn answers_do_not_depend_on_the_pieces(
        fragments in prop::collection::vec(fragment(), 0..12),
        size in 1_usize..200,
    ) {
        let mut server = Server::new(Mixed);
        // Whether a client that can wait is told to go on depends on what has arrived by then.
        let patient = |fragment: &Vec<u8>| fragment.starts_with(b"Expect");
        let all: Vec<u8> = fragments.into_iter().filter(|it| !patient(it)).flatten().collect();
        let (whole, split) = (server.connect(), server.connect());
        whole.send(&all);
        whole.finish();
        split.set_piece(size);
        split.send(&all);
        split.finish();
        server.run();
        prop_assert_eq!(whole.received(), split.received());
    }

    #[test]
    fn good_requests_are_all_answered(count in 1_usize..30, size in 1_usize..2000) {
        let mut server = Server::new(Mixed);
        let client = server.connect();
        client.set_piece(size);
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".repeat(count));
        server.run();
        let answers = answers(&client.received(), &[]);
        prop_assert_eq!(answers.len(), count);
        prop_assert!(answers.iter().all(|answer| answer.text() == "hello"));
    }
}
