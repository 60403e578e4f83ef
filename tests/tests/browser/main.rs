//! Chromium plays the game that the machine serves: real keys, a real swipe, and the rules themselves as
//! the referee.
//!
//! - `driver`: Chromium and its remote control.
//! - `player`: the page, and the game as it must be.
//! - `company`: what players have of each other and of a server that goes away.
//! - `thermometer`: the other page that is live.
//!
//! The page's hooks (`data-state`, `data-moves`, …) are described in `apps/2048/README.md`.

#![forbid(unsafe_code)]

mod company;
mod driver;
mod player;
mod thermometer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use driver::{Driver, browse, keep_screenshot};
use fantoccini::{Client, Locator};
use game_2048::Direction;
use landfall_tests::{DEADLINE, Lab, XenHost};
use player::{Player, SEED};
use serde_json::Value;

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

    let files = ["game.js", "server.js", "game.wasm", "style.css", "api/info"];
    assert_stays_at_home(&driver.log(&session, "performance"), address, &files);
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

/// Everything that the page has asked for must come from its own origin, `files` among it.
fn assert_stays_at_home(log: &[Value], address: SocketAddr, files: &[&str]) {
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
            assert!(matches!(status, Some(200 | 201 | 304)), "{parameters}");
        }
    }
    for path in files {
        assert!(
            urls.iter().any(|url| *url == format!("{own}{path}")),
            "{path} is not among {urls:?}"
        );
    }
    let strangers: Vec<_> = urls.iter().filter(|url| !url.starts_with(&own)).collect();
    assert!(strangers.is_empty(), "the page asks {strangers:?}");
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
