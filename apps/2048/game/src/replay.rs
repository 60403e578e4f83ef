//! Replaying a recorded game, and saying why a record cannot be one.

use core::fmt;

use crate::direction::{Direction, UnknownDirection};
use crate::game::{Game, Outcome};

impl Game {
    /// Plays a recorded game again: one letter (`u`, `r`, `d`, `l`) for each move that changed the
    /// board. The caller bounds the length; each move takes well under a microsecond.
    pub fn replay(seed: u64, letters: &[u8]) -> Result<Self, ReplayError> {
        let mut game = Self::new(seed);
        for (at, &letter) in letters.iter().enumerate() {
            let direction = Direction::from_letter(letter)
                .map_err(|UnknownDirection { letter }| ReplayError::NotAMove { at, letter })?;
            if game.play(direction) == Outcome::Unchanged {
                return Err(ReplayError::Impossible { at, direction });
            }
        }
        Ok(game)
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
