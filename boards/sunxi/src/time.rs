//! The clock: the generic timer. The time of day is the network's or the boot arguments' to tell.

use landfall::BoardClock;
use landfall_bare_metal::time;

/// Starts the clock since boot.
pub(crate) fn init() -> BoardClock {
    time::init();
    BoardClock::None
}
