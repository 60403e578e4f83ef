//! The four directions in which a board slides, and their recorded form.

use core::fmt;

/// Where the tiles of a board slide to.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Direction {
    /// Towards the first row.
    Up,
    /// Towards the last column.
    Right,
    /// Towards the last row.
    Down,
    /// Towards the first column.
    Left,
}

impl Direction {
    /// Every direction, clockwise from [`Direction::Up`].
    pub const ALL: [Self; 4] = [Self::Up, Self::Right, Self::Down, Self::Left];

    /// Returns the letter that records this direction: `u`, `r`, `d` or `l`.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Up => b'u',
            Self::Right => b'r',
            Self::Down => b'd',
            Self::Left => b'l',
        }
    }

    /// Returns the direction that `letter` records, the inverse of [`Direction::letter`].
    pub const fn from_letter(letter: u8) -> Result<Self, UnknownDirection> {
        match letter {
            b'u' => Ok(Self::Up),
            b'r' => Ok(Self::Right),
            b'd' => Ok(Self::Down),
            b'l' => Ok(Self::Left),
            _ => Err(UnknownDirection { letter }),
        }
    }
}

impl TryFrom<u8> for Direction {
    type Error = UnknownDirection;

    fn try_from(letter: u8) -> Result<Self, UnknownDirection> {
        Self::from_letter(letter)
    }
}

/// A byte that records no direction.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct UnknownDirection {
    /// The byte in question.
    pub letter: u8,
}

impl fmt::Display for UnknownDirection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = self.letter.escape_ascii();
        write!(formatter, "'{letter}' is not a direction (u, r, d or l)")
    }
}

impl core::error::Error for UnknownDirection {}
