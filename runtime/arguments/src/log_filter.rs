//! The value of `log=`: which lines are wanted, by module.

use crate::ArgumentValue;
use alloc::borrow::ToOwned;
use log::LevelFilter;

/// Levels by module: `info,net=debug,app=trace`.
///
/// A level without a module is for all that no module names. A module is the beginning of a line's
/// target; of several that fit, the longest counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogFilter(Levels);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Levels {
    /// The same for all, as nearly always: it is asked for each line.
    All(LevelFilter),
    /// By module, as it was written.
    ByModule(&'static str),
}

impl LogFilter {
    /// `info` for all.
    pub const INFO: Self = Self(Levels::All(LevelFilter::Info));
    /// `debug` for all.
    pub const DEBUG: Self = Self(Levels::All(LevelFilter::Debug));

    /// Returns up to which level lines of `target` are wanted.
    pub fn level(self, target: &str) -> LevelFilter {
        let mut rest = match self.0 {
            Levels::All(level) => return level,
            Levels::ByModule(text) => text,
        };
        let mut best = ("", LevelFilter::Info);
        while let Some((module, level)) = next(&mut rest) {
            if target.starts_with(module) && module.len() >= best.0.len() {
                best = (module, level);
            }
        }
        best.1
    }

    /// Returns a level beyond which no line is wanted; the finest where there are modules.
    pub fn most(self) -> LevelFilter {
        match self.0 {
            Levels::All(level) => level,
            Levels::ByModule(_) => LevelFilter::Trace,
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
        if let Ok(level) = text.parse() {
            return Some(Self(Levels::All(level)));
        }
        let mut rest = text;
        while next(&mut rest).is_some() {}
        let whole = rest.is_empty() && !text.is_empty();
        whole.then(|| Self(Levels::ByModule(text.to_owned().leak())))
    }
}
