//! A server under test: fake sockets in memory, a clock that the test turns, and no executor but
//! [`Server::run`], which polls until nothing is left to do. Everything belongs to one thread, so
//! tests run side by side without seeing each other.

// Each test binary uses its own part of this, and `pub` is as far as it goes.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod clock;
mod socket;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use landfall_http::{Handler, Limits, serve};

pub use clock::{advance, pending_timers};
use socket::{Backlog, Listener};
pub use socket::{Client, FakeError};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A running server.
pub struct Server {
    future: Pin<Box<dyn Future<Output = Result<(), FakeError>>>>,
    backlog: Rc<RefCell<Backlog>>,
    flag: Arc<Flag>,
    pub polls: AtomicUsize,
    ended: Cell<bool>,
}

impl Server {
    pub fn new(handler: impl Handler + 'static) -> Self {
        Self::with_limits(Limits::default(), handler)
    }

    pub fn with_limits(limits: Limits, handler: impl Handler + 'static) -> Self {
        let backlog = Rc::new(RefCell::new(Backlog::default()));
        let listener = Listener(Rc::clone(&backlog));
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Self {
            future: Box::pin(serve(listener, limits, handler)),
            backlog,
            flag,
            polls: AtomicUsize::new(0),
            ended: Cell::new(false),
        }
    }

    /// Polls until nobody has woken the server; returns its result if it ended.
    pub fn run(&mut self) -> Option<Result<(), FakeError>> {
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut rounds = 0;
        while self.flag.0.swap(false, Ordering::SeqCst) && !self.ended.get() {
            rounds += 1;
            assert!(rounds < 1_000_000, "the server wakes itself for ever");
            self.polls.fetch_add(1, Ordering::Relaxed);
            if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                self.ended.set(true);
                return Some(result);
            }
        }
        None
    }

    /// Lets time pass, second by second, and the server react.
    pub fn pass(&mut self, seconds: u64) {
        self.run();
        for _ in 0..seconds {
            advance(1_000_000);
            self.run();
        }
    }

    /// Connects a client, which the server will accept when it runs.
    pub fn connect(&self) -> Client {
        let (client, socket) = socket::pair();
        self.backlog.borrow_mut().push(Ok(socket));
        client
    }

    /// Lets the next accept fail.
    pub fn fail_accept(&self) {
        self.backlog.borrow_mut().push(Err(FakeError::Broken));
    }

    /// Lets the next accept say that there will be no more connections.
    pub fn close(&self) {
        self.backlog.borrow_mut().push(Err(FakeError::Closed));
    }

    /// Connections that nobody has accepted yet.
    pub fn waiting(&self) -> usize {
        self.backlog.borrow().queue.len()
    }

    /// Sends `request` on a new connection and returns what comes back.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> String {
        let client = self.connect();
        client.send(request);
        self.run();
        client.received_text()
    }
}

/// One response, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }
}

/// Takes responses apart; `methods` tells which have no body (`HEAD`).
pub fn answers(mut bytes: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut methods: VecDeque<_> = methods.iter().copied().collect();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head of ASCII");
        bytes = &bytes[end + 4..];
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if status == 100 {
            answers.push(answer);
            continue;
        }
        let method = methods.pop_front().unwrap_or("GET");
        if method != "HEAD" && status != 304 && status != 204 {
            let length = answer
                .header("Content-Length")
                .expect("a length")
                .parse()
                .expect("a number");
            answer.body = bytes[..length].to_vec();
            bytes = &bytes[length..];
        }
        answers.push(answer);
    }
    answers
}

/// Returns the one response in `bytes`.
pub fn answer(bytes: impl AsRef<[u8]>) -> Answer {
    let mut all = answers(bytes.as_ref(), &[]);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}
