//! Chromium plays the game that the machine serves: real keys, a real swipe, and the rules themselves as
//! the referee.
//!
//! The page's hooks (`data-state`, `data-moves`, …) are described in `apps/2048/README.md`.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{
    Actions, InputSource, KeyAction, KeyActions, PointerAction, TouchActions,
};
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use game_2048::board::value;
use game_2048::{Direction, Game, Outcome};
use hyper_util::client::legacy::connect::HttpConnector;
use landfall_tests::guest::children;
use landfall_tests::lab::{Folder, free_port, has_program};
use landfall_tests::{Connection, DEADLINE, Lab, XenHost, skip, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// The game that is played.
const SEED: u64 = 2048;

/// Chromium's driver, and by it Chromium, which end with this value.
struct Driver {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Driver {
    fn start(lab: &Lab) -> Option<Self> {
        if !has_program("chromium") || !has_program("chromedriver") {
            skip("this needs Chromium and its driver (packages chromium and chromium-driver)");
            return None;
        }
        let (port, folder) = (free_port(), lab.folder());
        let mut command = lab.supervised("chromedriver");
        command.arg(format!("--port={port}"));
        // Whatever it keeps for its user goes away with the folder.
        command
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("the tool can be started");
        let driver = Self {
            child,
            port,
            folder,
        };
        wait_until("Chromium's driver", DEADLINE, || {
            TcpStream::connect(driver.address()).ok()
        });
        Some(driver)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    async fn open(&self) -> Client {
        let profile = self.folder.path().join("profile");
        let profile = format!("--user-data-dir={}", profile.display());
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1000,900",
            &profile,
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let capabilities = capabilities.as_object().expect("it is one").clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let url = format!("http://{}", self.address());
        builder
            .capabilities(capabilities)
            .connect(&url)
            .await
            .expect("Chromium starts")
    }

    /// Takes what Chromium has noted since the last time: its driver's own command, which is no part of
    /// WebDriver.
    fn log(&self, session: &str, kind: &str) -> Vec<Value> {
        let body = json!({ "type": kind }).to_string();
        let mut connection = Connection::open(self.address()).expect("the driver listens");
        let request = format!(
            "POST /session/{session}/se/log HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        );
        connection.send(request).expect("the driver reads");
        let answer = connection.response("POST").expect("an answer").json();
        answer["value"]
            .as_array()
            .unwrap_or_else(|| panic!("no log: {answer}"))
            .clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Chromium's processes outlive a driver that is killed.
        let mut processes = vec![self.child.id()];
        let mut next = 0;
        while let Some(process) = processes.get(next) {
            processes.extend(children(*process));
            next += 1;
        }
        for process in processes {
            // Some end with others.
            let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        // Its last files are written until its last process is gone.
        let end = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir_all(self.folder.path().join("profile")).is_err()
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The page, and the game as it must be.
struct Player<'a> {
    client: &'a Client,
    game: Game,
    letters: Vec<u8>,
    merges: u32,
}

impl<'a> Player<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            game: Game::new(SEED),
            letters: Vec::new(),
            merges: 0,
        }
    }

    /// What the page shows: state, number of moves, score, and the tiles by cell.
    async fn shown(&self) -> Value {
        const LOOK: &str = "
            const board = document.getElementById('board');
            const cells = new Array(16).fill(0);
            for (const { dataset } of document.querySelectorAll('.tile'))
                cells[4 * Number(dataset.row) + Number(dataset.column)] += Number(dataset.value);
            const number = (id) => Number(document.getElementById(id).textContent);
            return { state: board.dataset.state, moves: Number(board.dataset.moves), cells,
                     score: number('score'), best: number('best') };";
        self.client
            .execute(LOOK, Vec::new())
            .await
            .expect("the page runs scripts")
    }

    /// Waits until the page shows the game as it must be.
    async fn assert_shown(&self, best: u32) {
        let cells: Vec<u32> = self
            .game
            .board()
            .exponents()
            .iter()
            .map(|&exponent| value(exponent))
            .collect();
        let expected = json!({
            "state": "playing", "moves": self.game.moves(), "cells": cells, "score": self.game.score(), "best": best,
        });
        let end = Instant::now() + DEADLINE;
        loop {
            let shown = self.shown().await;
            if shown == expected {
                return;
            }
            assert!(
                Instant::now() < end,
                "the page shows {shown}, it should show {expected}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Plays in the referee's game; returns whether the board has changed.
    fn note(&mut self, direction: Direction) -> bool {
        let Outcome::Moved(turn) = self.game.play(direction) else {
            return false;
        };
        self.letters.push(direction.letter());
        self.merges += u32::from(turn.points > 0);
        true
    }

    async fn press(&mut self, direction: Direction) -> bool {
        let key = match direction {
            Direction::Up => Key::Up,
            Direction::Right => Key::Right,
            Direction::Down => Key::Down,
            Direction::Left => Key::Left,
        };
        let value = char::from(key);
        let keys = KeyActions::new("keyboard".to_owned());
        let keys = keys
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value });
        self.client
            .perform_actions(Actions::from(keys))
            .await
            .expect("a key press");
        self.note(direction)
    }

    async fn swipe(&mut self, direction: Direction) -> bool {
        let (x, y) = match direction {
            Direction::Up => (0.0, -120.0),
            Direction::Right => (120.0, 0.0),
            Direction::Down => (0.0, 120.0),
            Direction::Left => (-120.0, 0.0),
        };
        let element = self
            .client
            .find(Locator::Id("board"))
            .await
            .expect("the page has a board");
        let finger = TouchActions::new("finger".to_owned());
        let finger = finger
            .then(PointerAction::MoveToElement {
                element,
                duration: None,
                x: 0.0,
                y: 0.0,
            })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::MoveBy {
                duration: Some(Duration::from_millis(100)),
                x,
                y,
            })
            .then(PointerAction::Up { button: 0 });
        self.client
            .perform_actions(Actions::from(finger))
            .await
            .expect("a swipe");
        self.note(direction)
    }

    /// The direction that gains most now, and of those the first of down, left, right and up.
    fn best_direction(&self) -> Direction {
        let directions = [
            Direction::Up,
            Direction::Right,
            Direction::Left,
            Direction::Down,
        ];
        let gain = |direction: &Direction| {
            self.game
                .board()
                .slide(*direction)
                .map(|slide| slide.points)
        };
        directions
            .into_iter()
            .max_by_key(gain)
            .expect("there are four")
    }

    /// The score that the recorded moves have by the rules.
    fn replayed_score(&self) -> u32 {
        Game::replay(SEED, &self.letters)
            .expect("the moves that were made")
            .score()
    }
}

async fn play(driver: &Driver, client: &Client, address: SocketAddr, lab: &Lab, board: &str) {
    let session = client
        .session_id()
        .await
        .expect("the driver answers")
        .expect("a session");
    // What the browser shows by itself before it is told anything does not count.
    client.goto("about:blank").await.expect("it can be left");
    driver.log(&session, "performance");
    client
        .goto(&format!("http://{address}/?seed={SEED}"))
        .await
        .expect("the page loads");
    let mut player = Player::new(client);
    player.assert_shown(0).await;

    // Real keys, until a good many tiles have merged.
    while player.merges < 20 {
        let direction = player.best_direction();
        assert!(
            player.press(direction).await,
            "{direction:?} was chosen because it moves something"
        );
        player.assert_shown(player.game.score()).await;
    }
    assert!(player.game.score() >= 80 && player.game.score() == player.replayed_score());

    // Every direction by finger; a key that moves nothing changes nothing.
    let mut swiped = Vec::new();
    while swiped.len() < 4 {
        let direction = Direction::ALL.into_iter().find(|direction| {
            !swiped.contains(direction) && player.game.board().slide(*direction).is_some()
        });
        let (direction, finger) =
            direction.map_or_else(|| (player.best_direction(), false), |it| (it, true));
        if finger {
            assert!(player.swipe(direction).await);
            swiped.push(direction);
        } else {
            assert!(player.press(direction).await);
        }
        player.assert_shown(player.game.score()).await;
        let board = *player.game.board();
        for idle in Direction::ALL
            .into_iter()
            .filter(|direction| board.slide(*direction).is_none())
        {
            assert!(!player.press(idle).await);
            player.assert_shown(player.game.score()).await;
        }
    }
    let best = player.replayed_score();
    assert_eq!(best, player.game.score());

    served_by(client, board).await;
    keep_screenshot(client, lab, &format!("2048-{board}.png")).await;

    // A reload goes on where the player was, a new game begins at the beginning.
    client.refresh().await.expect("the page loads");
    player.assert_shown(best).await;
    client
        .find(Locator::Id("new-game"))
        .await
        .expect("a button")
        .click()
        .await
        .expect("it can be clicked");
    let mut player = Player::new(client);
    player.assert_shown(best).await;
    let direction = player.best_direction();
    player.press(direction).await;
    player.assert_shown(best).await;

    // On a telephone the board still fits.
    client
        .set_window_size(400, 800)
        .await
        .expect("a smaller window");
    assert_board_fits(client).await;
    keep_screenshot(client, lab, &format!("2048-{board}-small.png")).await;

    assert_stays_at_home(&driver.log(&session, "performance"), address);
    let complaints = driver.log(&session, "browser");
    assert!(complaints.is_empty(), "the console has {complaints:?}");
}

/// Waits until the page says which board serves it.
async fn served_by(client: &Client, board: &str) {
    let end = Instant::now() + DEADLINE;
    let footer = client
        .find(Locator::Id("served"))
        .await
        .expect("the page has a footer");
    loop {
        let text = footer.text().await.expect("it has a text");
        if text.contains(&format!("Served by Landfall on {board}")) {
            return;
        }
        assert!(Instant::now() < end, "the footer says {text:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn keep_screenshot(client: &Client, lab: &Lab, name: &str) {
    // Tiles slide and pop for a moment; a picture of that would be another one each time.
    let settle = "const done = arguments[0];
        Promise.all(document.getAnimations().map((it) => it.finished.catch(() => 0))).then(() => done(1));";
    client
        .execute_async(settle, Vec::new())
        .await
        .expect("animations end");
    let picture = client.screenshot().await.expect("a picture");
    std::fs::write(lab.keepsakes().join(name), picture).expect("the folder can be written to");
}

async fn assert_board_fits(client: &Client) {
    let fits = "const { left, right } = document.getElementById('board').getBoundingClientRect();
        const root = document.documentElement;
        return left >= 0 && right <= root.clientWidth && root.scrollWidth <= root.clientWidth;";
    let fits = client
        .execute(fits, Vec::new())
        .await
        .expect("the page runs scripts");
    assert_eq!(fits, true, "the page is wider than the window");
}

/// Everything that the page has asked for must come from its own origin.
fn assert_stays_at_home(log: &[Value], address: SocketAddr) {
    let own = format!("http://{address}/");
    let mut urls = Vec::new();
    for entry in log {
        let message = entry["message"].as_str().expect("a message");
        let event: Value = serde_json::from_str(message).expect("the message is JSON");
        let (event, parameters) = (&event["message"]["method"], &event["message"]["params"]);
        if event == "Network.requestWillBeSent" {
            urls.push(
                parameters["request"]["url"]
                    .as_str()
                    .expect("a URL")
                    .to_owned(),
            );
        }
        // 4xx and 5xx are mistakes of the page too.
        if event == "Network.responseReceived" {
            let status = parameters["response"]["status"].as_u64();
            assert!(matches!(status, Some(200 | 304)), "{parameters}");
        }
    }
    for path in ["game.js", "game.wasm", "style.css", "api/info"] {
        assert!(
            urls.iter().any(|url| *url == format!("{own}{path}")),
            "{path} is not among {urls:?}"
        );
    }
    let strangers: Vec<_> = urls.iter().filter(|url| !url.starts_with(&own)).collect();
    assert!(strangers.is_empty(), "the page asks {strangers:?}");
}

/// Lets Chromium do what `session` has it do.
fn browse(driver: &Driver, session: impl AsyncFnOnce(&Client)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = driver.open().await;
        session(&client).await;
        client.close().await.expect("Chromium ends");
    });
}

fn play_on_machine(board: &str) {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.machine("2048").board(board).start();
    let address = guest.wait_until_it_listens();
    browse(&driver, async |client| {
        play(&driver, client, address, &lab, board).await;
    });
    guest.assert_well();
}

#[test]
fn a_browser_plays_2048_on_virt() {
    play_on_machine("virt");
}

#[test]
fn a_browser_plays_2048_on_virt_armv7() {
    play_on_machine("virt-armv7");
}

#[test]
fn a_browser_plays_2048_as_a_guest_of_xen() {
    let Some(host) = XenHost::open() else { return };
    let Some(driver) = Driver::start(host.lab()) else {
        return;
    };
    let mut domain = host.domain("played", "2048").create();
    let address = domain.wait_until_it_is_reached();
    browse(&driver, async |client| {
        play(&driver, client, address, host.lab(), host.board()).await;
    });
}
