//! What the time is counted by: the CPU's generic timer. With the feature `sun4i` it can be the timers of Allwinner's A10
//! instead, which the board says before the clock starts.

#[cfg(feature = "sun4i")]
mod sun4i;

#[cfg(not(feature = "sun4i"))]
pub use landfall_arch::timer::{clear_deadline, count, frequency_hz, set_deadline};
#[cfg(feature = "sun4i")]
pub use sun4i::{clear_deadline, count, frequency_hz, set_deadline, use_sun4i};
