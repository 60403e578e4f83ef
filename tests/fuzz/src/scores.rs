//! 2048's API: the bodies of requests, as a script's bytes and as games that were played.
//!
//! A script is bodies with a byte 0xff between. One that begins with 1 is a report of who plays; with 0, a game: eight bytes
//! of seed, one of how much the claimed score is off, one of a name, and moves, of which those count that change the board.
//! All others are bodies of `/api/scores` as they are. They take the way that they take in an image, from a socket on.

use std::cell::RefCell;
use std::rc::Rc;

use app_2048::monitor::{Counts, Monitor};
use game_2048::{Direction, Game, Outcome};
use landfall::Info;

use crate::socket::{Backlog, Client, Listener, pair};
use crate::world::World;

/// Bodies of one script.
const MOST_BODIES: usize = 40;
/// What the server lets one address do again after, microseconds.
const PAUSE_US: u64 = 2_100_000;

struct Quiet;

impl Monitor for Quiet {
    fn info(&self) -> Info {
        Info {
            board: "fuzz",
            cpu: "none",
            unix_seconds: None,
            wall_clock: None,
            uptime_ms: 0,
            heap: None,
            sockets: None,
        }
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn log(&self) -> String {
        String::new()
    }

    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// Asks the service as the script says.
pub fn score_api(script: &[u8]) {
    let mut bench = Bench::new();
    for part in script.split(|byte| *byte == 0xff).take(MOST_BODIES) {
        match part.split_first() {
            Some((0, game)) => bench.plays(game),
            Some((1, report)) => drop(bench.posts("/api/live", report)),
            _ => drop(bench.posts("/api/scores", part)),
        }
    }
    bench.finish();
}

struct Bench {
    backlog: Rc<RefCell<Backlog>>,
    /// Hears of everything.
    listener: Client,
    world: World,
}

impl Bench {
    fn new() -> Self {
        let mut world = World::new();
        let backlog: Rc<RefCell<Backlog>> = Rc::default();
        let acceptor = Listener(backlog.clone());
        world.spawn(async move {
            let _ = app_2048::serve(acceptor, Quiet).await;
        });
        let (listener, socket) = pair();
        backlog.borrow_mut().push(Ok(socket));
        listener.send("GET /api/live HTTP/1.1\r\nHost: x\r\n\r\n");
        Self {
            backlog,
            listener,
            world,
        }
    }

    /// Sends a request; returns the status.
    fn asks(&mut self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let (client, socket) = pair();
        self.backlog.borrow_mut().push(Ok(socket));
        client.send(head);
        client.send(body);
        client.finish();
        self.world.pass(PAUSE_US);
        let answer = client.received();
        let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|it| it.get(..3));
        let status = status.and_then(|it| str::from_utf8(it).ok()?.parse().ok());
        (status.expect("an answer"), answer)
    }

    fn posts(&mut self, path: &str, body: &[u8]) -> u16 {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let (status, answer) = self.asks(&head, body);
        let is_known = matches!(status, 200 | 201 | 400 | 409 | 413 | 422 | 429 | 503);
        assert!(is_known, "{}", String::from_utf8_lossy(&answer));
        status
    }

    /// Plays a game and submits it.
    fn plays(&mut self, script: &[u8]) {
        let Some((seed, [off, name, letters @ ..])) = script.split_first_chunk::<8>() else {
            return;
        };
        let seed = u64::from_le_bytes(*seed);
        let mut game = Game::new(seed);
        let mut moves = String::new();
        for letter in letters {
            let direction = Direction::ALL[usize::from(letter & 3)];
            if game.play(direction) != Outcome::Unchanged {
                moves.push(direction.letter().into());
            }
        }
        let score = game.score().wrapping_add(u32::from(*off));
        let name = char::from(b'a' + name % 26);
        let body =
            format!(r#"{{"name":"{name}","seed":"{seed}","moves":"{moves}","score":{score}}}"#);
        let status = self.posts("/api/scores", body.as_bytes());
        match (off, game.score()) {
            (0, 1..) => assert!(matches!(status, 200 | 201 | 409), "{status}: {body}"),
            _ => assert_eq!(status, 422, "{body}"),
        }
    }

    /// What the service says of all that is text.
    fn finish(mut self) {
        let (status, scores) = self.asks("GET /api/scores HTTP/1.1\r\nHost: x\r\n\r\n", &[]);
        assert_eq!(status, 200);
        let scores = String::from_utf8(scores).expect("text");
        assert!(scores.contains(r#"{"scores":["#) && scores.ends_with("]}"));
        let events = String::from_utf8(self.listener.received()).expect("text");
        assert!(events.starts_with("HTTP/1.1 200 "));
    }
}
