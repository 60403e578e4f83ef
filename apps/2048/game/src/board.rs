//! The grid: sixteen cells, and what happens to their tiles when they slide.
//!
//! Nothing here is random and nothing keeps a score; [`crate::game`] adds both.

use core::fmt;

use crate::direction::Direction;

/// Cells on a side of the board.
pub const SIDE: usize = 4;

/// Cells of the board.
pub const CELLS: usize = SIDE * SIDE;

/// The largest exponent a board may be given: 2¹⁷ = 131072 is the largest tile that play can reach.
pub const MAX_EXPONENT: u8 = 17;

/// A place on the board.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub struct Cell {
    /// 0 (top) to 3 (bottom).
    pub row: u8,
    /// 0 (left) to 3 (right).
    pub column: u8,
}

impl Cell {
    /// Returns the number of this cell in reading order, 0 to 15.
    pub const fn index(self) -> usize {
        self.row as usize * SIDE + self.column as usize
    }

    /// Returns the cell that is number `index` in reading order.
    const fn from_index(index: usize) -> Self {
        Self {
            row: (index / SIDE) as u8,
            column: (index % SIDE) as u8,
        }
    }

    /// Returns the cell that is `step` cells away from the edge that tiles slide towards, on the
    /// `line`-th line in that direction.
    const fn along(direction: Direction, line: usize, step: usize) -> Self {
        let from_far_edge = SIDE - 1 - step;
        match direction {
            Direction::Up => Self {
                row: step as u8,
                column: line as u8,
            },
            Direction::Right => Self {
                row: line as u8,
                column: from_far_edge as u8,
            },
            Direction::Down => Self {
                row: from_far_edge as u8,
                column: line as u8,
            },
            Direction::Left => Self {
                row: line as u8,
                column: step as u8,
            },
        }
    }
}

/// Sixteen cells, each empty or with a tile. A tile is kept as an exponent: 1 is the tile 2, 11 is
/// the tile 2048; 0 is an empty cell.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
pub struct Board {
    exponents: [u8; CELLS],
}

impl Board {
    /// The board without tiles.
    pub const EMPTY: Self = Self {
        exponents: [0; CELLS],
    };

    /// Returns the board with these exponents, row by row from the top.
    pub fn from_rows(rows: [[u8; SIDE]; SIDE]) -> Result<Self, BoardError> {
        let mut board = Self::EMPTY;
        for (index, &exponent) in rows.as_flattened().iter().enumerate() {
            if exponent > MAX_EXPONENT {
                return Err(BoardError {
                    cell: Cell::from_index(index),
                    exponent,
                });
            }
            board.exponents[index] = exponent;
        }
        Ok(board)
    }

    /// Returns the exponents in reading order; 0 stands for an empty cell.
    pub const fn exponents(&self) -> &[u8; CELLS] {
        &self.exponents
    }

    /// Returns the exponent of the tile in `cell`, 0 if it is empty.
    pub const fn exponent(&self, cell: Cell) -> u8 {
        self.exponents[cell.index()]
    }

    /// Returns the largest exponent on the board.
    pub fn highest(&self) -> u8 {
        self.exponents.iter().copied().max().unwrap_or(0)
    }

    /// Returns the sum of the tiles' values, which no slide changes.
    pub fn sum(&self) -> u32 {
        self.exponents.iter().map(|&exponent| value(exponent)).sum()
    }

    /// Returns the empty cells in reading order.
    pub fn empty_cells(&self) -> impl Iterator<Item = Cell> {
        let cells = self.exponents.iter().enumerate();
        cells
            .filter(|(_, exponent)| **exponent == 0)
            .map(|(index, _)| Cell::from_index(index))
    }

    /// Returns whether a slide in any direction would change the board.
    pub fn can_move(&self) -> bool {
        Direction::ALL
            .into_iter()
            .any(|direction| self.slide(direction).is_some())
    }

    /// Slides all tiles in `direction`; `None` if not a single tile would move or merge.
    ///
    /// Two equal tiles that meet become one of twice the value. The pair nearest to the edge merges
    /// first, and a merged tile does not merge again in the same slide.
    pub fn slide(&self, direction: Direction) -> Option<Slide> {
        let mut slide = Slide {
            board: Self::EMPTY,
            tiles: TileMoves::NONE,
            points: 0,
        };
        for line in 0..SIDE {
            self.slide_line(direction, line, &mut slide);
        }
        (slide.board != *self).then_some(slide)
    }

    fn slide_line(&self, direction: Direction, line: usize, slide: &mut Slide) {
        let mut free = 0;
        let mut waiting: Option<Waiting> = None;
        for step in 0..SIDE {
            let from = Cell::along(direction, line, step);
            let exponent = self.exponent(from);
            if exponent == 0 {
                continue;
            }
            if let Some(partner) = waiting.take_if(|partner| partner.exponent == exponent) {
                slide.tiles.mark_merged(partner.entry);
                slide.tiles.push(TileMove {
                    from,
                    to: partner.cell,
                    exponent,
                    merged: true,
                });
                slide.board.put(partner.cell, exponent + 1);
                slide.points += value(exponent + 1);
            } else {
                let cell = Cell::along(direction, line, free);
                free += 1;
                let tile = TileMove {
                    from,
                    to: cell,
                    exponent,
                    merged: false,
                };
                let entry = slide.tiles.push(tile);
                slide.board.put(cell, exponent);
                waiting = Some(Waiting {
                    cell,
                    exponent,
                    entry,
                });
            }
        }
    }

    /// Puts a tile into `cell`, or empties it with exponent 0.
    pub(crate) const fn put(&mut self, cell: Cell, exponent: u8) {
        self.exponents[cell.index()] = exponent;
    }
}

/// Returns the number that the tile with this exponent shows; 0 for an empty cell.
pub const fn value(exponent: u8) -> u32 {
    if exponent == 0 { 0 } else { 1 << exponent }
}

/// The last tile that came to rest on a line and may still merge with the next.
struct Waiting {
    cell: Cell,
    exponent: u8,
    /// Its place in the list of moves.
    entry: usize,
}

/// What a slide did.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Slide {
    /// The board after it.
    pub board: Board,
    /// The way of every tile that was on the board before, also of those that stayed.
    pub tiles: TileMoves,
    /// The sum of the values of the tiles that came from merges.
    pub points: u32,
}

/// The way of one tile in a slide.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TileMove {
    /// Where the tile was.
    pub from: Cell,
    /// Where it came to rest; equal to `from` if it stayed.
    pub to: Cell,
    /// Its exponent before the slide.
    pub exponent: u8,
    /// Whether it became one with the other tile that has the same `to`.
    pub merged: bool,
}

/// The ways of up to sixteen tiles. Reads as a slice of [`TileMove`].
#[derive(Copy, Clone)]
pub struct TileMoves {
    entries: [TileMove; CELLS],
    length: usize,
}

impl TileMoves {
    const NONE: Self = {
        let corner = Cell { row: 0, column: 0 };
        let unused = TileMove {
            from: corner,
            to: corner,
            exponent: 0,
            merged: false,
        };
        Self {
            entries: [unused; CELLS],
            length: 0,
        }
    };

    /// Appends a move and returns its place in the list.
    const fn push(&mut self, tile: TileMove) -> usize {
        let entry = self.length;
        self.entries[entry] = tile;
        self.length += 1;
        entry
    }

    const fn mark_merged(&mut self, entry: usize) {
        self.entries[entry].merged = true;
    }
}

impl core::ops::Deref for TileMoves {
    type Target = [TileMove];

    fn deref(&self) -> &[TileMove] {
        &self.entries[..self.length]
    }
}

impl PartialEq for TileMoves {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for TileMoves {}

impl fmt::Debug for TileMoves {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

/// A tile that no board can hold.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct BoardError {
    /// Where it was asked for.
    pub cell: Cell,
    /// Its exponent, above [`MAX_EXPONENT`].
    pub exponent: u8,
}

impl fmt::Display for BoardError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cell: Cell { row, column },
            exponent,
        } = self;
        write!(
            formatter,
            "exponent {exponent} in row {row}, column {column} is above {MAX_EXPONENT}"
        )
    }
}

impl core::error::Error for BoardError {}
