//! The value of `log=`: which lines are wanted, by module.

use crate::ArgumentValue;
use alloc::{borrow::ToOwned, string::String};
use log::LevelFilter;

/// Levels by module: `info,net=debug,app=trace`.
///
/// A level without a module is for all that no module names. A module is the beginning of a line's
/// target; of several that fit, the longest counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogFilter {
    text: String,
    most: LevelFilter,
}

impl LogFilter {
    /// Returns up to which level lines of `target` are wanted.
    pub fn level(&self, target: &str) -> LevelFilter {
        let mut best = ("", DEFAULT);
        let mut rest = self.text.as_str();
        while let Some((module, level)) = next(&mut rest) {
            if target.starts_with(module) && module.len() >= best.0.len() {
                best = (module, level);
            }
        }
        best.1
    }

    /// Returns the level beyond which no line is wanted.
    pub fn most(&self) -> LevelFilter {
        self.most
    }
}

/// Where no level says something else.
const DEFAULT: LevelFilter = LevelFilter::Info;

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

    fn read(text: &str) -> Option<Self> {
        let mut filter = Self {
            text: text.to_owned(),
            most: LevelFilter::Off,
        };
        let mut rest = text;
        while let Some((_, level)) = next(&mut rest) {
            filter.most = filter.most.max(level);
        }
        filter.most = filter.most.max(filter.level(""));
        // What is left is what could not be read.
        (rest.is_empty() && !text.is_empty()).then_some(filter)
    }
}
