//! What becomes of clients that are slow, silent, gone, hostile or too many.

mod support;

use embassy_time::Duration;
use landfall_http::{Handler, Limits, Request, Response};
use support::{Client, FakeError, Server, advance, answer, answers, pending_timers};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn hello(_: &Request<'_>) -> Response {
    Response::text("hello\n")
}

fn large(_: &Request<'_>) -> Response {
    static LARGE: [u8; 100_000] = [b'x'; 100_000];
    Response::bytes("application/octet-stream", &LARGE[..])
}

/// Answers with the length of the body.
struct Upload;

impl Handler for Upload {
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        match request.read_body(60_000).await {
            Ok(body) => Response::text(body.len().to_string()),
            Err(error) => error.into(),
        }
    }
}

/// Returns after how many seconds the connection is gone, while `each` happens every second.
fn seconds_to_live(server: &mut Server, client: &Client, mut each: impl FnMut()) -> u64 {
    server.run();
    for second in 0..1000 {
        if client.is_gone() {
            return second;
        }
        each();
        server.run();
        server.pass(1);
    }
    panic!("the connection lives for ever");
}

#[test]
fn an_idle_connection_ends_silently() {
    let mut server = Server::new(hello);
    let client = server.connect();
    assert_eq!(seconds_to_live(&mut server, &client, || {}), 30);
    assert_eq!(client.received_text(), "");
    assert!(!client.is_aborted());

    let client = server.connect();
    client.send(GET);
    server.pass(20);
    client.send(GET);
    server.pass(29);
    assert!(!client.is_closed());
    assert_eq!(answers(&client.received(), &[]).len(), 2);
    server.pass(1);
    assert!(client.is_gone());
}

#[test]
fn a_head_that_trickles_in_is_answered_with_408() {
    let mut server = Server::new(hello);
    let client = server.connect();
    let mut bytes = "GET /slow HTTP/1.1\r\nHost: slow".bytes();
    let lived = seconds_to_live(&mut server, &client, || {
        client.send([bytes.next().unwrap_or(b'x')])
    });
    assert!((10..=13).contains(&lived), "{lived}");
    let answer = answer(client.received());
    assert_eq!(
        (answer.status, answer.header("Connection")),
        (408, Some("close"))
    );
}

#[test]
fn empty_lines_do_not_keep_a_connection() {
    let mut server = Server::new(hello);
    let client = server.connect();
    client.send("\r\n");
    assert_eq!(seconds_to_live(&mut server, &client, || {}), 10);
    assert_eq!(client.received_text(), "");
}

#[test]
fn a_body_that_trickles_in_is_answered_with_408() {
    let mut server = Server::new(Upload);
    let client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    let lived = seconds_to_live(&mut server, &client, || client.send("x"));
    assert!((30..=33).contains(&lived), "{lived}");
    assert_eq!(answer(client.received()).status, 408);
}

#[test]
fn an_unwanted_body_that_trickles_in_is_not_read_for_ever() {
    let mut server = Server::new(hello);
    let client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    server.run();
    assert_eq!(answer(client.received()).status, 200);
    let lived = seconds_to_live(&mut server, &client, || client.send("x"));
    assert!((30..=33).contains(&lived), "{lived}");
}

#[test]
fn a_client_that_never_reads_is_dropped() {
    let mut server = Server::new(large);
    let client = server.connect();
    client.set_window(1000);
    client.send(GET);
    assert_eq!(seconds_to_live(&mut server, &client, || {}), 30);
    assert!(client.is_aborted());
}

#[test]
fn a_client_that_reads_a_byte_per_second_is_dropped() {
    let mut server = Server::new(large);
    let client = server.connect();
    client.set_window(2000);
    client.send(GET);
    let lived = seconds_to_live(&mut server, &client, || client.set_window(1));
    // 30 seconds, and 100,000 bytes at 1024 bytes per second.
    assert!((120..130).contains(&lived), "{lived}");
    assert!(client.is_aborted());
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let mut server = Server::new(large);
    let client = server.connect();
    client.set_window(1500);
    client.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    seconds_to_live(&mut server, &client, || client.set_window(1500));
    assert_eq!(answer(client.received()).body.len(), 100_000);
}

#[test]
fn a_client_that_does_not_acknowledge_the_end_is_dropped() {
    let mut server = Server::new(hello);
    let client = server.connect();
    client.ignore_end();
    client.send(GET);
    server.run();
    client.finish();
    assert_eq!(seconds_to_live(&mut server, &client, || {}), 5);
    assert!(client.is_aborted());
}

#[test]
fn after_an_error_the_client_may_go_on_for_a_while() {
    let mut server = Server::new(hello);
    let client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    client.send("x".repeat(5000));
    server.run();
    assert!(client.is_closed() && !client.is_gone());
    assert_eq!(answer(client.received()).status, 413);
    assert_eq!(
        client.unread(),
        0,
        "so that closing does not destroy the response"
    );
    assert_eq!(
        seconds_to_live(&mut server, &client, || client.send("x".repeat(500))),
        2
    );

    let endless = server.connect();
    endless.send("?\r\n");
    endless.send("x".repeat(1_000_000));
    server.run();
    assert!(endless.is_gone() && endless.unread() > 900_000);

    let polite = server.connect();
    polite.send("?\r\n");
    polite.finish();
    server.run();
    assert!(polite.is_gone() && !polite.is_aborted());
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    let mut server = Server::new(hello);
    for bytes in ["", "G", GET, "GET / HTTP/1.1\r\n", "\r\n"] {
        let client = server.connect();
        client.send(bytes);
        server.run();
        client.finish();
        server.run();
        assert!(client.is_gone());
        let broken = server.connect();
        broken.send(bytes);
        server.run();
        broken.reset();
        server.run();
        assert!(broken.is_gone());
    }
    let half_open = server.connect();
    half_open.send("GET /");
    half_open.finish();
    server.run();
    assert_eq!(answer(half_open.received()).status, 400);
}

#[test]
fn three_hundred_connections_at_once_are_all_served() {
    let mut server = Server::new(hello);
    let clients: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for client in &clients {
        client.send(&GET[..20]);
    }
    server.run();
    // More than may hold buffers: those behind wait with what they have to say.
    assert_eq!(server.waiting(), 0);
    for client in &clients {
        client.send(&GET[20..]);
    }
    server.run();
    for client in &clients {
        assert_eq!(answer(client.received()).status, 200);
    }
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let limits = Limits {
        max_connections: 3,
        ..Limits::default()
    };
    let mut server = Server::with_limits(limits, hello);
    let clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.run();
    for client in clients.iter().rev() {
        client.send(GET);
        server.pass(1);
    }
    let fourth = server.connect();
    fourth.send(GET);
    server.run();
    let gone: Vec<_> = clients.iter().map(Client::is_gone).collect();
    assert_eq!(gone, [false, false, true]);
    assert_eq!(answer(fourth.received()).status, 200);
}

#[test]
fn no_more_are_accepted_while_all_are_busy() {
    let limits = Limits {
        max_connections: 3,
        ..Limits::default()
    };
    let mut server = Server::with_limits(limits, hello);
    let busy: Vec<_> = (0..10).map(|_| server.connect()).collect();
    busy.iter().for_each(|client| client.send("GET"));
    server.run();
    assert_eq!(server.waiting(), 6);
    busy[0].send(&GET[3..]);
    server.run();
    let answer = answer(busy[0].received());
    assert_eq!(
        answer.header("Connection"),
        Some("close"),
        "others wait for the place"
    );
    server.pass(3);
    assert_eq!(server.waiting(), 5);
    server.pass(60);
    assert_eq!(server.waiting(), 0);
}

#[test]
fn thousands_of_connections_one_after_another() {
    let mut server = Server::new(hello);
    for _ in 0..5000 {
        let client = server.connect();
        client.send(GET);
        client.finish();
        server.run();
        assert_eq!(answer(client.received()).status, 200);
        assert!(client.is_gone());
    }
}

#[test]
fn an_idle_server_does_nothing() {
    let mut server = Server::new(hello);
    server.run();
    assert_eq!(pending_timers(), 0, "no timer without a client");
    let clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    clients.iter().for_each(|client| client.send(GET));
    server.run();
    assert_eq!(pending_timers(), 1, "one timer for all of them");
    let before = server.polls.load(std::sync::atomic::Ordering::Relaxed);
    server.pass(29);
    assert_eq!(
        server.polls.load(std::sync::atomic::Ordering::Relaxed),
        before
    );
    server.pass(60);
    assert!(clients.iter().all(Client::is_gone));
    assert_eq!(pending_timers(), 0);
}

#[test]
fn traffic_costs_few_timers() {
    let mut server = Server::new(hello);
    let client = server.connect();
    for _ in 0..1000 {
        client.send(GET);
        server.run();
        assert_eq!(answer(client.received()).status, 200);
        advance(100_000);
        server.run();
    }
    let polls = server.polls.load(std::sync::atomic::Ordering::Relaxed);
    assert!(polls < 1010, "{polls} polls for 1000 requests");
}

#[test]
fn an_accept_that_fails_is_tried_again() {
    let mut server = Server::new(hello);
    for _ in 0..20 {
        server.fail_accept();
    }
    let client = server.connect();
    client.send(GET);
    server.pass(30);
    assert_eq!(answer(client.received()).status, 200);
}

#[test]
fn an_accept_that_always_fails_ends_the_server() {
    let mut server = Server::new(hello);
    for _ in 0..1000 {
        server.fail_accept();
    }
    for _ in 0..120 {
        advance(1_000_000);
        if let Some(result) = server.run() {
            assert_eq!(result, Err(FakeError::Broken));
            return;
        }
    }
    panic!("the server never gives up");
}

#[test]
fn a_closed_acceptor_is_a_good_end() {
    let mut server = Server::new(hello);
    assert_eq!(server.run(), None);
    server.close();
    assert_eq!(server.run(), Some(Ok(())));
}

#[test]
fn after_the_acceptor_closed_begun_requests_are_answered_and_idle_connections_end() {
    let mut server = Server::new(hello);
    let (idle, answered, begun) = (server.connect(), server.connect(), server.connect());
    server.pass(1);
    answered.send(GET);
    begun.send(&GET[..20]);
    server.run();
    assert_eq!(answer(answered.received()).status, 200);
    server.close();
    assert_eq!(server.run(), None, "a request has begun");
    let gone = [&idle, &answered, &begun].map(Client::is_gone);
    assert_eq!(gone, [true, true, false]);
    let late = server.connect();
    begun.send(&GET[20..]);
    assert_eq!(server.run(), Some(Ok(())));
    let answer = answer(begun.received());
    let end = (answer.status, answer.header("Connection"));
    assert_eq!(end, (200, Some("close")));
    assert_eq!((late.received_text(), server.waiting()), (String::new(), 1));
}

#[test]
fn after_the_acceptor_closed_a_new_connection_has_a_second_to_say_something() {
    let mut server = Server::new(hello);
    let silent = server.connect();
    server.run();
    server.close();
    assert_eq!(server.run(), None);
    advance(999_000);
    assert_eq!(server.run(), None);
    assert!(!silent.is_gone());
    advance(1000);
    assert_eq!(server.run(), Some(Ok(())));
    assert!(silent.is_gone());
}

#[test]
fn timeouts_are_the_app_s_choice() {
    let limits = Limits {
        idle_timeout: Duration::from_secs(3),
        ..Limits::default()
    };
    let mut server = Server::with_limits(limits, hello);
    let client = server.connect();
    assert_eq!(seconds_to_live(&mut server, &client, || {}), 3);
}
