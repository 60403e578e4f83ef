//! A game in progress: the board, the random tiles, the score, won and over.

use crate::board::{Board, Cell, TileMoves};
use crate::direction::Direction;
use crate::random::SplitMix64;

/// The exponent of the tile that wins: 2048.
pub const WINNING_EXPONENT: u8 = 11;

/// A game of 2048. The seed and the moves determine it completely.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Game {
    board: Board,
    random: SplitMix64,
    score: u32,
    moves: u32,
    won: bool,
}

impl Game {
    /// Starts the game that belongs to `seed`, with two tiles on the board.
    pub fn new(seed: u64) -> Self {
        let mut board = Board::EMPTY;
        let mut random = SplitMix64::new(seed);
        for _ in 0..2 {
            spawn(&mut board, &mut random);
        }
        Self {
            board,
            random,
            score: 0,
            moves: 0,
            won: false,
        }
    }

    /// Starts a game on a given board, with random tiles as `seed` says: for tests and exercises.
    pub fn with_board(board: Board, seed: u64) -> Self {
        let won = board.highest() >= WINNING_EXPONENT;
        Self {
            board,
            random: SplitMix64::new(seed),
            score: 0,
            moves: 0,
            won,
        }
    }

    /// Slides the tiles in `direction` and, if that changed the board, adds a tile: 2 nine times
    /// out of ten, else 4, each empty cell being as likely as another.
    pub fn play(&mut self, direction: Direction) -> Outcome {
        let Some(slide) = self.board.slide(direction) else {
            return Outcome::Unchanged;
        };
        let mut board = slide.board;
        let Some(spawned) = spawn(&mut board, &mut self.random) else {
            // Not reached: a slide that changes the board leaves a cell empty.
            return Outcome::Unchanged;
        };
        self.board = board;
        self.score = self.score.saturating_add(slide.points);
        self.moves = self.moves.saturating_add(1);
        self.won |= board.highest() >= WINNING_EXPONENT;
        Outcome::Moved(Turn {
            tiles: slide.tiles,
            points: slide.points,
            spawned,
        })
    }

    /// Returns the board.
    pub const fn board(&self) -> &Board {
        &self.board
    }

    /// Returns the sum of the values of all tiles that came from merges.
    pub const fn score(&self) -> u32 {
        self.score
    }

    /// Returns how many moves have changed the board.
    pub const fn moves(&self) -> u32 {
        self.moves
    }

    /// Returns whether the tile 2048 has been reached, now or earlier.
    pub const fn is_won(&self) -> bool {
        self.won
    }

    /// Returns whether no move is left.
    pub fn is_over(&self) -> bool {
        !self.board.can_move()
    }

    /// Returns where the game stands.
    pub fn state(&self) -> State {
        if self.is_over() {
            State::Over
        } else if self.won {
            State::Won
        } else {
            State::Playing
        }
    }
}

/// Puts a tile into a random empty cell, if there is one. Draws the cell, then the tile.
fn spawn(board: &mut Board, random: &mut SplitMix64) -> Option<Spawn> {
    let empty = board.empty_cells().count() as u32;
    let chosen = random.below(empty) as usize;
    let cell = board.empty_cells().nth(chosen)?;
    let exponent = if random.below(10) == 0 { 2 } else { 1 };
    board.put(cell, exponent);
    Some(Spawn { cell, exponent })
}

/// Where a game stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// Moves are left and 2048 has not been reached yet.
    Playing,
    /// 2048 has been reached and moves are left.
    Won,
    /// No move is left, whether or not 2048 was reached ([`Game::is_won`]).
    Over,
}

/// What a move did.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// No tile could slide that way: the game is as it was.
    Unchanged,
    /// Tiles slid and a new one came.
    Moved(Turn),
}

/// What changed in one move.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Turn {
    /// The way of every tile that was on the board, also of those that stayed.
    pub tiles: TileMoves,
    /// What the move added to the score.
    pub points: u32,
    /// The new tile.
    pub spawned: Spawn,
}

/// A tile that came onto the board by chance.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Spawn {
    /// Where it appeared.
    pub cell: Cell,
    /// 1 (a 2) or 2 (a 4).
    pub exponent: u8,
}
