//! The HTTP server: bytes of several clients, in any pieces.
//!
//! A script is what a client sends, as it is; after a byte 0xff comes a command: see [`Bench::command`].

use std::cell::RefCell;
use std::rc::Rc;

use landfall_http::{Asset, Handler, Limits, Request, Response, Routes, serve};

use crate::socket::{Backlog, Client, Listener, pair};
use crate::world::World;

/// What is not a byte of a request.
const COMMAND: u8 = 0xff;
/// Clients of a script.
const MOST_CLIENTS: usize = 16;
/// By then the server has let go of every client that does nothing more, whatever it was doing.
const LONG_S: u64 = 200;

static FILES: [Asset; 1] = [Asset {
    path: "/file",
    content_type: "text/plain",
    body: b"a file of some bytes",
    etag: "\"1\"",
    gzip: None,
    cache_control: "no-cache",
}];

/// Serves what is short, reads some bodies and not others, and streams.
struct Service(Routes<'static>);

impl Handler for Service {
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        let _ = (request.query(), request.header("Accept"), request.peer());
        match request.path() {
            "/" | "/b" => match request.read_body(50).await {
                Ok(body) => Response::bytes("text/plain", body),
                Err(error) => error.into(),
            },
            "/s" => {
                let chunks = (1..20_usize).map(|length| vec![b'x'; length * 100 % 1500]);
                Response::stream("text/plain", futures_util::stream::iter(chunks))
            }
            _ => self.0.handle(request).await,
        }
    }
}

/// Serves a script's clients.
pub fn http(script: &[u8]) {
    let mut bench = Bench::new();
    let mut parts = script.split(|byte| *byte == COMMAND);
    bench.send(parts.next().unwrap_or_default());
    for part in parts {
        match part.split_first() {
            Some((command, rest)) => {
                bench.command(*command);
                bench.send(rest);
            }
            None => bench.send(&[COMMAND]),
        }
    }
    bench.finish();
}

struct Bench {
    clients: Vec<Client>,
    backlog: Rc<RefCell<Backlog>>,
    world: World,
}

impl Bench {
    fn new() -> Self {
        let mut world = World::new();
        let backlog: Rc<RefCell<Backlog>> = Rc::default();
        let listener = Listener(backlog.clone());
        let limits = Limits {
            max_connections: 4,
            max_streams: 2,
            ..Limits::default()
        };
        world.spawn(async move {
            let service = Service(Routes::new().assets(&FILES));
            let _ = serve(listener, limits, service).await;
        });
        let mut bench = Self {
            clients: Vec::new(),
            backlog,
            world,
        };
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        if self.clients.len() < MOST_CLIENTS {
            let (client, socket) = pair();
            self.backlog.borrow_mut().push(Ok(socket));
            self.clients.push(client);
        }
    }

    /// The client that does something: the last.
    fn client(&self) -> &Client {
        self.clients.last().expect("the first one connected")
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client().send(bytes);
        self.world.settle();
    }

    fn command(&mut self, command: u8) {
        let much = usize::from(command >> 3);
        match command & 7 {
            0 => self.connect(),
            1 => self.client().finish(),
            2 => self.client().reset(),
            3 => self.client().set_window([much, usize::MAX][much & 1]),
            4 => self.client().set_piece(1 + much),
            5 => self.client().ignore_end(),
            6 => {
                let count = self.clients.len();
                self.clients.rotate_left(much % count);
            }
            _ => self.world.pass(1_000_000 * much as u64),
        }
    }

    /// Nobody says anything more: the server has to let go of everybody, after well-formed answers.
    fn finish(mut self) {
        for client in &self.clients {
            client.set_window(usize::MAX);
        }
        // Those that wait to be accepted have their turn after others.
        self.world
            .pass(1_000_000 * LONG_S * (1 + self.clients.len() as u64 / 4));
        for client in &self.clients {
            assert!(client.is_gone(), "a client is held for ever");
            let answer = client.received();
            // A client that took little of it has its beginning.
            let start = answer.iter().zip(b"HTTP/1.1 ");
            assert!(start.into_iter().all(|(one, other)| one == other));
        }
    }
}
