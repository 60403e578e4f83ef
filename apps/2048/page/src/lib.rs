//! The game as the page calls it, compiled to WebAssembly.
//!
//! `assets/game.js` is the caller: it loads this module, calls [`new_game`] and [`play`], and after
//! each call reads the words at [`view()`], whose layout is in [`mod@view`]. On other targets the crate
//! is an ordinary library, so that its tests run on the host.

#![cfg_attr(any(target_family = "wasm", target_os = "none"), no_std)]

pub mod view;

#[cfg(target_family = "wasm")]
mod trap;

use game_2048::{Direction, Game, Outcome};
use spin::Mutex;
use view::View;

/// The game being played. The page is its only user, and JavaScript calls one export at a time, so
/// the lock is always free.
static GAME: Mutex<Option<Game>> = Mutex::new(None);

/// What the page reads.
static VIEW: View = View::new();

/// The answer of [`play`]: the board is as it was.
pub const UNCHANGED: u32 = 0;
/// The answer of [`play`]: tiles moved.
pub const MOVED: u32 = 1;
/// The answer of [`play`]: there is no game yet, or no such direction.
pub const REFUSED: u32 = 2;

/// Starts the game that belongs to a seed, given in two halves.
// The page finds the function by its name; the module exports nothing else of that name.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn new_game(seed_low: u32, seed_high: u32) {
    let game = Game::new(u64::from(seed_high) << 32 | u64::from(seed_low));
    VIEW.show(&game, None);
    *GAME.lock() = Some(game);
}

/// Slides the tiles: 0 up, 1 right, 2 down, 3 left. Returns [`UNCHANGED`], [`MOVED`] or [`REFUSED`].
// The page finds the function by its name; the module exports nothing else of that name.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn play(direction: u32) -> u32 {
    let mut current = GAME.lock();
    let direction = Direction::ALL.get(direction as usize);
    let (Some(game), Some(&direction)) = (current.as_mut(), direction) else {
        return REFUSED;
    };
    match game.play(direction) {
        Outcome::Unchanged => UNCHANGED,
        Outcome::Moved(turn) => {
            VIEW.show(game, Some(&turn));
            MOVED
        }
    }
}

/// Returns the address of the words that describe the game, which stays the same.
// The page finds the function by its name; the module exports nothing else of that name.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn view() -> *const u32 {
    VIEW.address()
}
