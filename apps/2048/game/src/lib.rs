//! The rules of 2048, written once: the page plays with them (compiled to WebAssembly) and a server
//! can replay a game with them.
//!
//! A game is determined by its seed and the moves that were made: [`Game::new`] followed by
//! [`Game::play`], or [`Game::replay`] for a recorded one, give the same state on every machine.
//!
//! - [`board`]: the four by four grid and how it slides ([`Board`], [`Slide`], [`TileMove`]).
//! - [`direction`]: the four moves and the letters in which they are recorded ([`Direction`]).
//! - [`game`]: score, random tiles, won and over ([`Game`], [`Outcome`], [`Turn`]).
//! - [`random`]: the generator behind the random tiles ([`SplitMix64`]).
//! - [`replay`]: checking a recorded game ([`Replay`], [`ReplayError`]).

#![no_std]
#![forbid(unsafe_code)]

pub mod board;
pub mod direction;
pub mod game;
pub mod random;
pub mod replay;

pub use board::{Board, BoardError, Cell, Slide, TileMove, TileMoves};
pub use direction::{Direction, UnknownDirection};
pub use game::{Game, Outcome, Spawn, State, Turn};
pub use random::SplitMix64;
pub use replay::{Replay, ReplayError};
