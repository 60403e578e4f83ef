//! What the page sees of a game: [`WORDS`] 32-bit words at a fixed address.
//!
//! | word | content |
//! |---|---|
//! | 0 | state: 0 playing, 1 won, 2 over, 3 over after it was won |
//! | 1 | score |
//! | 2 | moves made |
//! | 3 | points of the last move |
//! | 4 | new tile: `cell`, plus `exponent` × 2⁸; [`NO_TILE`] if no move was made yet |
//! | 5 | how many ways of tiles follow from word 22 on |
//! | 6–21 | the board in reading order: exponents, 0 for an empty cell |
//! | 22–37 | ways: `from`, plus `to` × 2⁸, `exponent` before × 2¹⁶, 1 × 2²⁴ if merged |

use core::sync::atomic::{AtomicU32, Ordering};

use game_2048::board::CELLS;
use game_2048::{Game, Spawn, State, TileMove, Turn};

/// Words in a view.
pub const WORDS: usize = WAYS + CELLS;

/// The new tile before the first move.
pub const NO_TILE: u32 = u32::MAX;

const STATE: usize = 0;
const SCORE: usize = 1;
const MOVES: usize = 2;
const POINTS: usize = 3;
const SPAWNED: usize = 4;
const WAY_COUNT: usize = 5;
const BOARD: usize = 6;
const WAYS: usize = BOARD + CELLS;

/// The words. Atomic, because Rust writes them and JavaScript reads them: in WebAssembly they become
/// plain stores.
#[derive(Debug)]
pub struct View {
    words: [AtomicU32; WORDS],
}

impl View {
    /// Returns a view of nothing: all words 0.
    pub(crate) const fn new() -> Self {
        Self {
            words: [const { AtomicU32::new(0) }; WORDS],
        }
    }

    /// Returns where the words are.
    pub(crate) const fn address(&self) -> *const u32 {
        self.words.as_ptr().cast()
    }

    /// Shows a game, and the turn that led there if there was one.
    pub(crate) fn show(&self, game: &Game, turn: Option<&Turn>) {
        self.set(STATE, state_word(game));
        self.set(SCORE, game.score());
        self.set(MOVES, game.moves());
        self.set(POINTS, turn.map_or(0, |turn| turn.points));
        self.set(
            SPAWNED,
            turn.map_or(NO_TILE, |turn| spawn_word(turn.spawned)),
        );
        for (word, &exponent) in self.words[BOARD..WAYS].iter().zip(game.board().exponents()) {
            word.store(exponent.into(), Ordering::Relaxed);
        }
        let ways = turn.map_or(&[][..], |turn| &turn.tiles);
        self.set(WAY_COUNT, ways.len() as u32);
        for (word, way) in self.words[WAYS..].iter().zip(ways) {
            word.store(way_word(way), Ordering::Relaxed);
        }
    }

    fn set(&self, word: usize, value: u32) {
        self.words[word].store(value, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn get(&self, word: usize) -> u32 {
        self.words[word].load(Ordering::Relaxed)
    }
}

fn state_word(game: &Game) -> u32 {
    match game.state() {
        State::Playing => 0,
        State::Won => 1,
        State::Over if game.is_won() => 3,
        State::Over => 2,
    }
}

fn spawn_word(spawn: Spawn) -> u32 {
    spawn.cell.index() as u32 | u32::from(spawn.exponent) << 8
}

fn way_word(way: &TileMove) -> u32 {
    way.from.index() as u32
        | (way.to.index() as u32) << 8
        | u32::from(way.exponent) << 16
        | u32::from(way.merged) << 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use game_2048::{Board, Direction, Outcome};

    fn game(rows: [[u8; 4]; 4]) -> Game {
        Game::with_board(Board::from_rows(rows).expect("exponents in range"), 1)
    }

    #[test]
    fn a_new_game_has_a_board_and_no_ways() {
        let view = View::new();
        let game = Game::new(5);
        view.show(&game, None);
        let board: Vec<u32> = (BOARD..WAYS).map(|word| view.get(word)).collect();
        let exponents: Vec<u32> = game.board().exponents().iter().map(|&e| e.into()).collect();
        assert_eq!(board, exponents);
        let words = [STATE, SCORE, MOVES, POINTS, SPAWNED, WAY_COUNT].map(|word| view.get(word));
        assert_eq!(words, [0, 0, 0, 0, NO_TILE, 0]);
    }

    #[test]
    fn a_turn_is_told_in_full() {
        let mut game = game([[0, 1, 0, 1], [0; 4], [0; 4], [0, 0, 3, 0]]);
        let Outcome::Moved(turn) = game.play(Direction::Left) else {
            panic!("it changes")
        };
        let view = View::new();
        view.show(&game, Some(&turn));
        let words = [STATE, SCORE, MOVES, POINTS, WAY_COUNT].map(|word| view.get(word));
        assert_eq!(words, [0, 4, 1, 4, 3]);
        let spawned = view.get(SPAWNED);
        assert_eq!(view.get(BOARD + (spawned & 0xff) as usize), spawned >> 8);
        let ways = [0, 1, 2].map(|way| view.get(WAYS + way));
        assert_eq!(ways, [0x0101_0001, 0x0101_0003, 0x0003_0c0e]);
    }

    #[test]
    fn every_state_has_its_word() {
        let checkered = |corner| {
            let row = [1, 2, 1, 2];
            let other = [2, 1, 2, 1];
            game([[corner, 2, 1, 2], other, row, other])
        };
        assert_eq!(state_word(&game([[1, 0, 0, 0], [0; 4], [0; 4], [0; 4]])), 0);
        assert_eq!(
            state_word(&game([[11, 0, 0, 0], [0; 4], [0; 4], [0; 4]])),
            1
        );
        assert_eq!(state_word(&checkered(1)), 2);
        assert_eq!(state_word(&checkered(11)), 3);
    }
}
