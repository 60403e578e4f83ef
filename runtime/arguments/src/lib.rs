//! Boot arguments: `key=value` words from the device tree's `/chosen/bootargs` or from a process's
//! command line.
//!
//! An app declares its own with [`arguments!`]; the runtime has a few for every app. A word that
//! neither knows stops the app before it starts.
//!
//! [`Argument`] is what an image knows of an argument, and [`find`] finds it in the image's file, so that
//! tools list and check arguments without booting. Neighbours: `value` (what values are made of),
//! `log_filter` (the value of `log=`) and `network` (the values of `ip=`, `ip6=`, `dns=`).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod find;
mod log_filter;
mod network;
mod value;

pub use find::find;
pub use log_filter::LogFilter;
pub use network::{Ipv4Choice, Ipv6Choice, NameServers};
pub use value::{ArgumentValue, ByteSize, SyslogServer, expected};

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

/// An argument that an app or the runtime knows.
///
/// One text with all about it, as [`help`] prints it, after two characters by which [`find`] knows it: so an
/// image has it once, for itself and for tools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Argument<'a>(&'a str);

impl<'a> Argument<'a> {
    /// For [`argument!`].
    #[doc(hidden)]
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns its key.
    // Once in an image, whoever asks.
    #[inline(never)]
    pub fn key(&self) -> &'a str {
        let text = self.0.get(4..).unwrap_or_default();
        text.split_once(':').map_or(text, |(key, _)| key)
    }
}

/// Makes an [`Argument`] from literals: whose it is (`"A"`, an app's, or `"R"`, the runtime's), its key,
/// type, default and help.
#[doc(hidden)]
#[macro_export]
macro_rules! argument {
    // What comes from a comment begins with a space of its own.
    ("A", $key:expr, $type:expr, $default:expr, $help:expr) => {
        $crate::Argument::new(concat!(
            "\x1dA  ", $key, ": ", $type, " = ", $default, "\n     ", $help, "\n"
        ))
    };
    ($whose:literal, $key:expr, $type:expr, $default:expr, $help:expr) => {
        $crate::Argument::new(concat!(
            "\x1d", $whose, "  ", $key, ": ", $type, " = ", $default, "\n      ", $help, "\n"
        ))
    };
}

/// What is wrong with the boot arguments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ArgumentError {
    /// A word without `=`.
    NotKeyValue {
        /// The word.
        word: String,
    },
    /// A key given twice.
    Twice {
        /// The key.
        key: String,
    },
    /// A key that nobody knows.
    Unknown {
        /// The key.
        key: String,
        /// The keys that there are, with commas between.
        known: String,
    },
    /// A value that cannot be read.
    BadValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What a value looks like.
        expected: &'static str,
    },
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKeyValue { word } => {
                write!(f, "boot argument `{word}` is not of the form key=value")
            }
            Self::Twice { key } => write!(f, "boot argument `{key}` is given twice"),
            Self::Unknown { key, known } => {
                write!(f, "unknown boot argument `{key}`; known are: {known}")
            }
            Self::BadValue {
                key,
                value,
                expected,
            } => {
                write!(f, "boot argument {key}={value}: expected {expected}")
            }
        }
    }
}

impl core::error::Error for ArgumentError {}

/// The words of the command line, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Words(Vec<(String, String)>);

impl Words {
    /// Takes a command line apart.
    ///
    /// # Errors
    /// [`ArgumentError::NotKeyValue`], [`ArgumentError::Twice`].
    pub fn parse(line: &str) -> Result<Self, ArgumentError> {
        let mut words: Vec<(String, String)> = Vec::new();
        for word in line.split_whitespace() {
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(ArgumentError::NotKeyValue {
                    word: word.to_owned(),
                });
            };
            if words.iter().any(|(known, _)| known == key) {
                return Err(ArgumentError::Twice {
                    key: key.to_owned(),
                });
            }
            words.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(words))
    }

    /// Returns the value of `key`, or `None` where it is not given.
    ///
    /// # Errors
    /// [`ArgumentError::BadValue`].
    pub fn value<T: ArgumentValue>(&self, key: &str) -> Result<Option<T>, ArgumentError> {
        let Some((_, value)) = self.0.iter().find(|(known, _)| known == key) else {
            return Ok(None);
        };
        T::read(value)
            .map(Some)
            .ok_or_else(|| bad_value(key, value, T::EXPECTED))
    }

    /// Checks that every key is one of `known`.
    ///
    /// # Errors
    /// [`ArgumentError::Unknown`].
    pub fn check(&self, known: &[&[Argument<'_>]]) -> Result<(), ArgumentError> {
        let has = |set: &&[Argument<'_>], key| set.iter().any(|argument| argument.key() == key);
        for (key, _) in &self.0 {
            if !known.iter().any(|set| has(set, key)) {
                return Err(unknown(key, known));
            }
        }
        Ok(())
    }

    /// Checks the keys, and the values as far as their types are known by name, without the program that
    /// they are for.
    ///
    /// # Errors
    /// [`ArgumentError::Unknown`], [`ArgumentError::BadValue`].
    pub fn check_for(&self, known: &[Argument<'_>]) -> Result<(), ArgumentError> {
        self.check(&[known])?;
        for (key, value) in &self.0 {
            let argument = known.iter().find(|argument| argument.key() == key);
            let type_name = argument.map_or("", Argument::type_name);
            if let Err(expected) = expected(type_name, value) {
                return Err(bad_value(key, value, expected));
            }
        }
        Ok(())
    }
}

fn unknown(key: &str, sets: &[&[Argument<'_>]]) -> ArgumentError {
    let mut known = String::new();
    for argument in sets.iter().copied().flatten() {
        known += if known.is_empty() { "" } else { ", " };
        known += argument.key();
    }
    ArgumentError::Unknown {
        key: key.to_owned(),
        known,
    }
}

fn bad_value(key: &str, value: &str, expected: &'static str) -> ArgumentError {
    ArgumentError::BadValue {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

/// A set of arguments that an app declared; [`arguments!`] implements it.
pub trait ArgumentSet: Sized {
    /// All of them.
    const KNOWN: &'static [Argument<'static>];

    /// Reads them.
    ///
    /// # Errors
    /// [`ArgumentError::BadValue`].
    fn read(words: &Words) -> Result<Self, ArgumentError>;
}

impl ArgumentSet for () {
    const KNOWN: &'static [Argument<'static>] = &[];

    fn read(_: &Words) -> Result<Self, ArgumentError> {
        Ok(())
    }
}

/// Declares an app's boot arguments: a struct `Arguments` with a field for each.
///
/// The documentation of a field is its help text, its type any [`ArgumentValue`]; the default is what it
/// has when it is not given.
///
/// ```
/// landfall_arguments::arguments! {
///     /// TCP port to listen on
///     port: u16 = 8080,
/// }
/// ```
#[macro_export]
macro_rules! arguments {
    ($($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:expr,)*) => {
        /// The app's boot arguments.
        #[derive(Clone, Debug)]
        struct Arguments {
            $($(#[doc = $help])+ $name: $type,)*
        }

        impl $crate::ArgumentSet for Arguments {
            const KNOWN: &'static [$crate::Argument<'static>] = &[
                $($crate::argument!(
                    "A",
                    stringify!($name),
                    stringify!($type),
                    stringify!($default),
                    concat!($($help),+)
                ),)*
            ];

            fn read(words: &$crate::Words) -> Result<Self, $crate::ArgumentError> {
                Ok(Self {
                    $($name: match words.value(stringify!($name))? {
                        Some(value) => value,
                        None => $default,
                    },)*
                })
            }
        }
    };
}

/// Lists arguments for a person, piece by piece.
pub fn help(sets: &[&[Argument<'_>]], write: impl Fn(&[u8])) {
    write(b"boot arguments, each key=value:\n");
    for argument in sets.iter().copied().flatten() {
        write(argument.0.as_bytes().get(2..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
