//! The value of `log=`: which lines are wanted, by module.

use crate::ArgumentValue;
use alloc::borrow::ToOwned;
use log::LevelFilter;

/// Levels by module: `info,net=debug,app=trace`.
///
/// A level without a module is for all that no module names. A module is the beginning of a line's
/// target; of several that fit, the longest counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogFilter(&'static str);

impl LogFilter {
    /// `info` for all.
    pub const INFO: Self = Self("info");
    /// `debug` for all.
    pub const DEBUG: Self = Self("debug");

    /// Returns up to which level lines of `target` are wanted.
    pub fn level(self, target: &str) -> LevelFilter {
        let mut best = ("", LevelFilter::Info);
        let mut rest = self.0;
        while let Some((module, level)) = next(&mut rest) {
            if target.starts_with(module) && module.len() >= best.0.len() {
                best = (module, level);
            }
        }
        best.1
    }

    /// Returns a level beyond which no line is wanted; the finest where there are modules.
    pub fn most(self) -> LevelFilter {
        match self.0.contains('=') {
            true => LevelFilter::Trace,
            false => self.level(""),
        }
    }
}

/// Takes the next level with its module from a text; `None` at the end and at what is no level.
#[inline(never)]
fn next<'a>(text: &mut &'a str) -> Option<(&'a str, LevelFilter)> {
    let (item, rest) = text.split_once(',').unwrap_or((text, ""));
    let (module, level) = item.split_once('=').unwrap_or(("", item));
    let level = level.parse().ok()?;
    *text = rest;
    Some((module, level))
}

impl ArgumentValue for LogFilter {
    const EXPECTED: &'static str =
        "off, error, warn, info, debug or trace, for modules too: info,net=debug";

    // What it says holds until the machine ends, and so does its text.
    fn read(text: &str) -> Option<Self> {
        let mut rest = text;
        while next(&mut rest).is_some() {}
        let whole = rest.is_empty() && !text.is_empty();
        whole.then(|| Self(text.to_owned().leak()))
    }
}
