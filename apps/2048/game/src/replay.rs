//! Replaying a recorded game, at once or in pieces, and saying why a record cannot be one.

use core::fmt;

use crate::direction::{Direction, UnknownDirection};
use crate::game::{Game, Outcome};

impl Game {
    /// Plays a recorded game again: one letter (`u`, `r`, `d`, `l`) for each move that changed the
    /// board. The caller bounds the length; each move takes well under a microsecond.
    pub fn replay(seed: u64, letters: &[u8]) -> Result<Self, ReplayError> {
        let mut replay = Replay::new(seed);
        replay.advance(letters)?;
        Ok(replay.game)
    }
}

/// A recorded game that is played again piece by piece, so that others can have their turn in between.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Replay {
    game: Game,
    at: usize,
}

impl Replay {
    /// Returns the replay of the game that belongs to `seed`, before its first move.
    pub fn new(seed: u64) -> Self {
        Self {
            game: Game::new(seed),
            at: 0,
        }
    }

    /// Plays the next moves, as [`Game::replay`] does; at an error it stays where the moves make sense.
    pub fn advance(&mut self, letters: &[u8]) -> Result<(), ReplayError> {
        for &letter in letters {
            let at = self.at;
            let direction = Direction::from_letter(letter)
                .map_err(|UnknownDirection { letter }| ReplayError::NotAMove { at, letter })?;
            if self.game.play(direction) == Outcome::Unchanged {
                return Err(ReplayError::Impossible { at, direction });
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Returns the game as it stands.
    pub const fn game(&self) -> &Game {
        &self.game
    }
}

/// Why a record is not that of a game.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum ReplayError {
    /// The record has a byte that is not a move.
    NotAMove {
        /// Which move, counted from 0.
        at: usize,
        /// The byte in question.
        letter: u8,
    },
    /// The move would not have changed the board (or the game was over), so nobody made it.
    Impossible {
        /// Which move, counted from 0.
        at: usize,
        /// The move in question.
        direction: Direction,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAMove { at, letter } => {
                write!(formatter, "move {at}: {}", UnknownDirection { letter })
            }
            Self::Impossible { at, direction } => {
                write!(
                    formatter,
                    "move {at}: {direction:?} does not change the board"
                )
            }
        }
    }
}

impl core::error::Error for ReplayError {}
