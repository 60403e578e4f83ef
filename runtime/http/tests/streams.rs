//! Responses whose body is made while it is sent.

mod support;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use landfall_http::{Limits, Request, Response};
use support::{Client, Server, answer, pending_timers};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// What all streams of a server send, and how many there are.
#[derive(Default)]
struct Radio {
    sent: Vec<&'static str>,
    over: bool,
    listeners: usize,
    wakers: VecDeque<Waker>,
}

type Shared = Rc<RefCell<Radio>>;

fn say(radio: &Shared, word: &'static str) {
    let mut radio = radio.borrow_mut();
    radio.sent.push(word);
    radio.wakers.drain(..).for_each(Waker::wake);
}

fn sign_off(radio: &Shared) {
    let mut radio = radio.borrow_mut();
    radio.over = true;
    radio.wakers.drain(..).for_each(Waker::wake);
}

struct Listener(Shared, usize);

impl Listener {
    fn new(radio: &Shared) -> Self {
        radio.borrow_mut().listeners += 1;
        Self(Rc::clone(radio), 0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.borrow_mut().listeners -= 1;
    }
}

impl Stream for Listener {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let radio = Rc::clone(&self.0);
        let mut radio = radio.borrow_mut();
        if let Some(word) = radio.sent.get(self.1) {
            self.1 += 1;
            return Poll::Ready(Some(word.as_bytes().to_vec()));
        }
        if radio.over {
            return Poll::Ready(None);
        }
        radio.wakers.push_back(context.waker().clone());
        Poll::Pending
    }
}

fn start(limits: Limits) -> (Server, Shared) {
    let radio = Shared::default();
    let studio = Rc::clone(&radio);
    let server = Server::with_limits(limits, move |request: &Request<'_>| match request.path() {
        "/plain" => Response::text("plain"),
        _ => Response::stream("text/event-stream", Listener::new(&studio)),
    });
    (server, radio)
}

fn listen(server: &mut Server) -> Client {
    let client = server.connect();
    client.send(GET);
    server.run();
    client
}

/// Takes the head; returns it and what has come of the body.
fn head_and_body(client: &Client) -> (String, String) {
    let text = client.received_text();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

#[test]
fn pieces_arrive_as_they_are_made() {
    let (mut server, radio) = start(Limits::default());
    let client = listen(&mut server);
    let (head, body) = head_and_body(&client);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for field in [
        "Transfer-Encoding: chunked",
        "Content-Type: text/event-stream",
        "Cache-Control: no-store",
        "Connection: close",
    ] {
        assert!(head.lines().any(|line| line == field), "{field}: {head}");
    }
    assert!(!head.contains("Content-Length"), "{head}");
    assert_eq!(body, "");
    // Far beyond every deadline: a stream is not idle.
    server.pass(500);
    assert_eq!(client.received_text(), "");
    say(&radio, "one");
    server.run();
    assert_eq!(client.received_text(), "3\r\none\r\n");
    say(&radio, "");
    say(&radio, "twenty-six characters here");
    server.run();
    assert_eq!(
        client.received_text(),
        "1a\r\ntwenty-six characters here\r\n"
    );
    sign_off(&radio);
    server.run();
    assert_eq!(client.received_text(), "0\r\n\r\n");
    assert!(client.is_closed());
    client.finish();
    server.run();
    assert!(client.is_gone() && !client.is_aborted());
}

#[test]
fn old_clients_read_until_the_end() {
    let (mut server, radio) = start(Limits::default());
    let client = server.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    server.run();
    let (head, _) = head_and_body(&client);
    assert!(!head.contains("Transfer-Encoding"), "{head}");
    assert!(head.contains("Connection: close"), "{head}");
    say(&radio, "one");
    server.run();
    sign_off(&radio);
    server.run();
    assert_eq!(client.received_text(), "one");
    assert!(client.is_closed());
}

#[test]
fn head_gets_no_body() {
    let (mut server, radio) = start(Limits::default());
    say(&radio, "one");
    let client = server.connect();
    client.send(GET.replace("GET", "HEAD"));
    server.run();
    let (head, body) = head_and_body(&client);
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert_eq!(body, "");
    assert!(client.is_closed());
    assert_eq!(radio.borrow().listeners, 0);
}

#[test]
fn a_client_that_leaves_leaves_nothing_behind() {
    let (mut server, radio) = start(Limits::default());
    for leave in [Client::finish, Client::reset] {
        let client = listen(&mut server);
        assert_eq!(radio.borrow().listeners, 1);
        leave(&client);
        server.run();
        assert!(client.is_gone());
        assert_eq!(radio.borrow().listeners, 0);
    }
}

#[test]
fn what_a_client_says_meanwhile_is_ignored_up_to_a_limit() {
    let (mut server, radio) = start(Limits::default());
    let client = listen(&mut server);
    head_and_body(&client);
    client.send(GET);
    server.run();
    say(&radio, "one");
    server.run();
    assert_eq!(
        client.received_text(),
        "3\r\none\r\n",
        "and no second response"
    );
    client.send("x".repeat(1_000_000));
    server.run();
    assert!(client.is_aborted() && client.unread() > 900_000);
    assert_eq!(radio.borrow().listeners, 0);
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let (mut server, radio) = start(Limits::default());
    let client = listen(&mut server);
    client.set_window(2);
    say(&radio, "one");
    server.pass(29);
    assert!(!client.is_gone());
    server.pass(2);
    assert!(client.is_aborted() && client.is_gone());
    assert_eq!(radio.borrow().listeners, 0);
}

#[test]
fn streams_are_limited_and_places_come_back() {
    let limits = Limits {
        max_streams: 2,
        ..Limits::default()
    };
    let (mut server, radio) = start(limits);
    let first = listen(&mut server);
    let _second = listen(&mut server);
    let third = answer(listen(&mut server).received());
    assert_eq!(
        (third.status, third.header("Retry-After")),
        (503, Some("30"))
    );
    assert_eq!(radio.borrow().listeners, 2, "what was refused is dropped");
    assert_eq!(
        answer(server.exchange(GET.replace("/ ", "/plain "))).text(),
        "plain"
    );
    first.finish();
    server.run();
    let fourth = listen(&mut server);
    assert!(head_and_body(&fourth).0.contains("200 OK"));
}

#[test]
fn a_stream_is_not_idle_when_others_need_the_place() {
    let limits = Limits {
        max_connections: 2,
        ..Limits::default()
    };
    let (mut server, radio) = start(limits);
    let stream = listen(&mut server);
    head_and_body(&stream);
    for _ in 0..5 {
        let other = server.connect();
        other.send(GET.replace("/ ", "/plain "));
        server.pass(3);
        assert_eq!(answer(other.received()).status, 200);
    }
    say(&radio, "still here");
    server.run();
    assert!(stream.received_text().contains("still here"));
}

#[test]
fn streams_end_with_the_server() {
    let (mut server, radio) = start(Limits::default());
    let early = listen(&mut server);
    head_and_body(&early);
    // A request that has begun when the server ends, and becomes a stream.
    let late = server.connect();
    late.send(&GET[..10]);
    server.run();
    server.close();
    assert_eq!(server.run(), None);
    assert_eq!(early.received_text(), "0\r\n\r\n");
    early.finish();
    late.send(&GET[10..]);
    server.run();
    late.finish();
    server.pass(1);
    assert!(late.received_text().ends_with("\r\n\r\n0\r\n\r\n"));
    assert!(early.is_gone() && late.is_gone());
    assert_eq!(radio.borrow().listeners, 0);
}

#[test]
fn streams_need_no_timer() {
    let (mut server, _radio) = start(Limits::default());
    let clients: Vec<_> = (0..10).map(|_| listen(&mut server)).collect();
    server.pass(60);
    let before = server.polls.load(std::sync::atomic::Ordering::Relaxed);
    server.pass(1000);
    let after = server.polls.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((after, pending_timers()), (before, 0));
    assert!(clients.iter().all(|client| !client.is_closed()));
}
