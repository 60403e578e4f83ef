//! The page, and the game as it must be.

use std::time::{Duration, Instant};

use fantoccini::actions::{
    Actions, InputSource, KeyAction, KeyActions, PointerAction, TouchActions,
};
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use game_2048::board::value;
use game_2048::{Direction, Game, Outcome};
use landfall_tests::DEADLINE;
use serde_json::{Value, json};

/// The game that is played.
pub(crate) const SEED: u64 = 2048;

/// The page, and the game as it must be.
pub(crate) struct Player<'a> {
    client: &'a Client,
    pub(crate) game: Game,
    pub(crate) letters: Vec<u8>,
    pub(crate) merges: u32,
}

impl<'a> Player<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
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
    pub(crate) async fn assert_shown(&self, best: u32) {
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

    pub(crate) async fn press(&mut self, direction: Direction) -> bool {
        let key = match direction {
            Direction::Up => Key::Up,
            Direction::Right => Key::Right,
            Direction::Down => Key::Down,
            Direction::Left => Key::Left,
        };
        self.press_key(char::from(key)).await;
        self.note(direction)
    }

    /// Takes a move back by the key for that.
    pub(crate) async fn undo(&mut self) {
        self.press_key('u').await;
        self.letters.pop();
        self.game = Game::replay(SEED, &self.letters).expect("the moves that were made");
    }

    async fn press_key(&self, value: char) {
        let keys = KeyActions::new("keyboard".to_owned());
        let keys = keys
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value });
        self.client
            .perform_actions(Actions::from(keys))
            .await
            .expect("a key press");
    }

    pub(crate) async fn swipe(&mut self, direction: Direction) -> bool {
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
    pub(crate) fn best_direction(&self) -> Direction {
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
    pub(crate) fn replayed_score(&self) -> u32 {
        Game::replay(SEED, &self.letters)
            .expect("the moves that were made")
            .score()
    }
}
