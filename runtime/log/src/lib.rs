//! The macros that log a line: `error!`, `warn!`, `info!`, `debug!` and `trace!`, used as those of `log`.
//!
//! Usually they are those of `log`. With feature `defmt` a line is a defmt frame instead: its format string
//! is a number in the image, and the text stays in the ELF file (`value` says what arguments become). What
//! is logged by `log`'s own macros joins them as text in a frame (`frame`).
//!
//! The level and the target decide about a line as with `log`: by its logger.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "defmt")]
mod value;

#[cfg(feature = "defmt")]
#[doc(hidden)]
pub use defmt;
#[cfg(all(feature = "defmt", not(feature = "text")))]
#[doc(hidden)]
pub use landfall_macros::log_frame;
#[doc(hidden)]
pub use log as facade;
pub use log::{Level, LevelFilter};
#[cfg(feature = "defmt")]
#[doc(hidden)]
pub use value::{Argument, ByText, ByValue};

/// Declares the macro of a level.
macro_rules! level {
    ($dollar:tt $name:ident $level:ident $what:literal) => {
        #[doc = concat!("Logs ", $what, ": a format string and its arguments, perhaps after `target: …,`.")]
        #[macro_export]
        macro_rules! $name {
            (target: $dollar target:expr, $dollar($dollar line:tt)+) => {
                $crate::line!($level, $dollar target, $dollar($dollar line)+)
            };
            ($dollar($dollar line:tt)+) => {
                $crate::line!($level, ::core::module_path!(), $dollar($dollar line)+)
            };
        }
    };
}

level!($ error Error "what went wrong");
level!($ warn Warn "what someone should look at");
level!($ info Info "what a user wants to know");
level!($ debug Debug "what helps to find a mistake");
level!($ trace Trace "each small step");

#[cfg(not(all(feature = "defmt", not(feature = "text"))))]
#[doc(hidden)]
#[macro_export]
macro_rules! line {
    ($level:ident, $target:expr, $($line:tt)+) => {
        $crate::facade::log!(target: $target, $crate::Level::$level, $($line)+)
    };
}

#[cfg(all(feature = "defmt", not(feature = "text")))]
#[doc(hidden)]
#[macro_export]
macro_rules! line {
    ($level:ident, $target:expr, $($line:tt)+) => {
        $crate::log_frame!([$crate] $level, $target, $($line)+)
    };
}

/// Returns whether the logger wants lines of this level and target.
#[cfg(feature = "defmt")]
#[doc(hidden)]
pub fn wants(level: Level, target: &str) -> bool {
    let line = log::Metadata::builder().level(level).target(target).build();
    level <= log::max_level() && log::logger().enabled(&line)
}

/// Sends a line of `log` as a frame that carries its text.
#[cfg(feature = "defmt")]
pub fn frame(record: &log::Record<'_>) {
    let (target, text) = (record.target(), defmt::Display2Format(record.args()));
    match record.level() {
        Level::Error => defmt::error!("{=str}: {}", target, text),
        Level::Warn => defmt::warn!("{=str}: {}", target, text),
        Level::Info => defmt::info!("{=str}: {}", target, text),
        Level::Debug => defmt::debug!("{=str}: {}", target, text),
        Level::Trace => defmt::trace!("{=str}: {}", target, text),
    }
}
