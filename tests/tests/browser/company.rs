//! What players have of each other, of the server's memory, and of a server that goes away.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use game_2048::Direction;
use landfall_tests::http::get;
use landfall_tests::{DEADLINE, Lab};
use serde_json::{Value, json};

use crate::driver::{ANOTHER_NAME, Driver, browse, keep_screenshot};
use crate::player::{Player, SEED};

/// Waits until a script that returns a value returns the expected one.
async fn wait_for(client: &Client, script: &str, expected: Value) {
    let end = Instant::now() + DEADLINE;
    loop {
        let value = client
            .execute(script, Vec::new())
            .await
            .expect("the page runs scripts");
        if value == expected {
            return;
        }
        assert!(
            Instant::now() < end,
            "{script} gives {value}, not {expected}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn open_game(client: &Client, server: impl Display) -> Player<'_> {
    client
        .goto(&format!("http://{server}/?seed={SEED}"))
        .await
        .expect("the page loads");
    let player = Player::new(client);
    player.assert_shown(0).await;
    player
}

async fn introduce(client: &Client, name: &str) {
    let field = client.find(Locator::Id("name")).await.expect("a field");
    // The W, A, S and D of a name are no moves; the line's end brings the keys back to the board.
    field
        .send_keys(&format!("{name}\n"))
        .await
        .expect("it takes keys");
}

async fn play_on(player: &mut Player<'_>, points: u32) {
    let enough = player.game.score() + points;
    while player.game.score() < enough {
        let direction = player.best_direction();
        assert!(player.press(direction).await);
        player.assert_shown(player.game.score()).await;
    }
}

async fn click(client: &Client, id: &str) {
    let button = client.find(Locator::Id(id)).await.expect("a button");
    button.click().await.expect("it can be clicked");
}

fn listed(address: SocketAddr) -> Value {
    get(address, "/api/scores").json()["scores"].clone()
}

#[test]
fn moves_are_taken_back_and_the_rest_is_what_counts() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    browse(&driver, async |client| {
        let mut player = open_game(client, address).await;
        play_on(&mut player, 60).await;
        let best = player.game.score();
        for _ in 0..5 {
            player.undo().await;
            player.assert_shown(best).await;
        }
        assert!(player.game.score() < best);
        // Another way from there.
        for direction in [Direction::Down, Direction::Right, Direction::Up] {
            player.press(direction).await;
            player.assert_shown(best).await;
        }
        click(client, "undo").await;
        player.letters.pop();
        player.game = game_2048::Game::replay(SEED, &player.letters).expect("what was played");
        player.assert_shown(best).await;

        let (score, moves) = (player.game.score(), player.game.moves());
        click(client, "new-game").await;
        let note = format!("Your {score} points are number 1.");
        wait_for(
            client,
            "return document.getElementById('scores-note').textContent",
            json!(note),
        )
        .await;
        let list = listed(address);
        assert_eq!(
            (&list[0]["name"], &list[0]["score"], &list[0]["moves"]),
            (&json!("Guest"), &json!(score), &json!(moves))
        );
        // At the beginning there is nothing to take back.
        wait_for(
            client,
            "return document.getElementById('undo').disabled",
            json!(true),
        )
        .await;
        let mut player = Player::new(client);
        player.undo().await;
        player.assert_shown(best).await;
    });
    guest.assert_well();
}

#[test]
fn a_finished_game_is_sent_by_itself() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    browse(&driver, async |client| {
        let mut player = open_game(client, address).await;
        let mut directions = Direction::ALL.into_iter().cycle();
        while !player.game.is_over() {
            player
                .press(directions.next().expect("it has no end"))
                .await;
        }
        let state = "return document.getElementById('board').dataset.state";
        wait_for(client, state, json!("over")).await;
        let score = player.game.score();
        let note = "return document.getElementById('scores-note').textContent";
        wait_for(
            client,
            note,
            json!(format!("Your {score} points are number 1.")),
        )
        .await;
        assert_eq!(listed(address)[0]["moves"], player.game.moves());
        keep_screenshot(client, &lab, "2048-over.png").await;
        // Even the last move can be taken back; made again, it is the same game.
        let last = *player.letters.last().expect("moves were made");
        player.undo().await;
        player.assert_shown(score).await;
        player
            .press(Direction::from_letter(last).expect("a move"))
            .await;
        wait_for(client, state, json!("over")).await;
        let refused =
            format!("Your {score} points are not listed: this game is on the list already.");
        wait_for(client, note, json!(refused)).await;
        // A new game does not send it once more.
        client.refresh().await.expect("the page loads");
        wait_for(client, state, json!("over")).await;
        click(client, "play-again").await;
        wait_for(client, SELF, json!([["Guest (you)", 0]])).await;
        wait_for(client, note, json!("")).await;
        assert_eq!(listed(address).as_array().map(Vec::len), Some(1));
    });
    guest.assert_well();
}

/// The name and score of everybody else that a page shows as playing.
const OTHERS: &str = "
    return [...document.querySelectorAll('#live li:not([aria-current])')].map((line) =>
        [line.querySelector('.who').textContent, Number(line.querySelector('.points').textContent)]);";

/// The same for the page's own player.
const SELF: &str = "
    return [...document.querySelectorAll('#live [aria-current]')].map((line) =>
        [line.querySelector('.who').textContent, Number(line.querySelector('.points').textContent)]);";

/// Two players see each other's score while both play, and what is on the list.
async fn meet(driver: &Driver, address: SocketAddr, lab: &Lab, board: &str) {
    let (one, other) = (driver.open("ada").await, driver.open("sadwa").await);
    let mut ada = open_game(&one, address).await;
    let mut sadwa = open_game(&other, address).await;
    introduce(&one, "Ada").await;
    introduce(&other, "Sad <b>wa</b>").await;
    for round in 1..=2 {
        play_on(&mut ada, 40 * round).await;
        play_on(&mut sadwa, 10 * round).await;
        let (score_of_ada, score_of_sadwa) = (ada.game.score(), sadwa.game.score());
        wait_for(&other, OTHERS, json!([["Ada", score_of_ada]])).await;
        wait_for(&one, OTHERS, json!([["Sad <b>wa</b>", score_of_sadwa]])).await;
        wait_for(&one, SELF, json!([["Ada (you)", score_of_ada]])).await;
        let state = "return document.getElementById('board').dataset.state";
        wait_for(&one, state, json!("playing")).await;
    }
    // What one of them finishes is on the other's list.
    let score = ada.game.score();
    click(&one, "new-game").await;
    let list =
        "return [...document.querySelectorAll('#scores li')].map((line) => line.textContent)";
    wait_for(&other, list, json!([format!("Ada{score}")])).await;
    keep_screenshot(&other, lab, &format!("2048-{board}-company.png")).await;
    one.close().await.expect("Chromium ends");
    other.close().await.expect("Chromium ends");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn two_browsers_see_each_others_score_on_unix() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    runtime().block_on(meet(&driver, address, &lab, "unix"));
    guest.assert_well();
}

#[test]
fn two_browsers_see_each_others_score_on_virt() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.machine("2048").start();
    let address = guest.wait_until_it_listens();
    runtime().block_on(meet(&driver, address, &lab, "virt"));
    guest.assert_well();
}

/// The state of the service worker that the page has.
const CONTROLLER: &str = "return navigator.serviceWorker.controller?.state ?? null";

#[test]
fn the_page_goes_on_without_its_server() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    let connection = "return document.getElementById('served').dataset.connection";
    browse(&driver, async |client| {
        let mut player = open_game(client, address).await;
        introduce(client, "Ada").await;
        play_on(&mut player, 40).await;
        wait_for(client, connection, json!("online")).await;
        wait_for(client, CONTROLLER, json!("activated")).await;

        drop(guest);
        wait_for(client, connection, json!("offline")).await;
        play_on(&mut player, 40).await;
        client
            .refresh()
            .await
            .expect("the page loads without a server");
        player.assert_shown(player.game.score()).await;
        play_on(&mut player, 40).await;
        let score = player.game.score();
        click(client, "new-game").await;
        let note = "return document.getElementById('scores-note').textContent";
        wait_for(client, note, json!("Waiting to be sent: a game.")).await;
        keep_screenshot(client, &lab, "2048-offline.png").await;

        let mut again = lab.process_at(address, "2048", &[]);
        again.wait_until_it_listens();
        wait_for(
            client,
            note,
            json!(format!("Your {score} points are number 1.")),
        )
        .await;
        wait_for(client, connection, json!("online")).await;
        let list = listed(address);
        assert_eq!(
            (&list[0]["name"], &list[0]["score"]),
            (&json!("Ada"), &json!(score))
        );
        again.assert_well();
    });
}

#[test]
fn the_page_makes_room_for_another_program() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    browse(&driver, async |client| {
        open_game(client, address).await;
        wait_for(client, CONTROLLER, json!("activated")).await;
        drop(guest);
        let mut hello = lab.process_at(address, "hello", &[]);
        hello.wait_until_it_listens();
        client.refresh().await.expect("the page loads");
        let board = client.find(Locator::Id("board")).await;
        board.expect("the page comes from the browser's cache");
        let end = Instant::now() + DEADLINE;
        while client.source().await.expect("it has one").contains("board") {
            assert!(Instant::now() < end, "the page of 2048 hides hello");
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.refresh().await.expect("the page loads");
        }
        assert!(client.source().await.expect("it has one").contains("hello"));
        hello.assert_well();
    });
}

#[test]
fn the_page_needs_no_service_worker() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let mut guest = lab.process("2048", &[]);
    let address = guest.wait_until_it_listens();
    browse(&driver, async |client| {
        let server = format!("{ANOTHER_NAME}:{}", address.port());
        let mut player = open_game(client, server).await;
        let unknown = "return !isSecureContext && !navigator.serviceWorker";
        wait_for(client, unknown, json!(true)).await;
        play_on(&mut player, 40).await;
        let score = player.game.score();
        wait_for(client, SELF, json!([["Guest (you)", score]])).await;
        click(client, "new-game").await;
        let note = "return document.getElementById('scores-note').textContent";
        wait_for(
            client,
            note,
            json!(format!("Your {score} points are number 1.")),
        )
        .await;
    });
    guest.assert_well();
}
