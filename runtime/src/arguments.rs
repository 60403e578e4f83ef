//! Boot arguments: `key=value` words from the device tree's `/chosen/bootargs` or from a process's
//! command line.
//!
//! An app declares its own with [`arguments!`](crate::arguments!); the runtime has a few for every
//! app. A word that neither knows stops the app before it starts.

use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// An argument that an app or the runtime knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Argument {
    /// Its key.
    pub key: &'static str,
    /// What it does.
    pub help: &'static str,
    /// The value when it is not given.
    pub default: &'static str,
}

/// A type that an argument's value can have.
pub trait ArgumentValue: Sized {
    /// What a value looks like, for error messages: "a number from 0 to 65535".
    const EXPECTED: &'static str;

    /// Reads a value; `None` when it is none.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! values {
    ($($type:ty: $expected:literal,)*) => {$(
        impl ArgumentValue for $type {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

values! {
    u8: "a number from 0 to 255",
    u16: "a number from 0 to 65535",
    u32: "a number from 0 to 4294967295",
    u64: "a number from 0 to 18446744073709551615",
    bool: "true or false",
    String: "text without spaces",
    Ipv4Addr: "an address such as 10.0.2.15",
    Ipv6Addr: "an address such as 2001:db8::5",
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
        /// The keys that there are.
        known: Vec<&'static str>,
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
                write!(
                    f,
                    "unknown boot argument `{key}`; known are: {}",
                    known.join(", ")
                )
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
            .ok_or_else(|| ArgumentError::BadValue {
                key: key.to_owned(),
                value: value.clone(),
                expected: T::EXPECTED,
            })
    }

    /// Checks that every key is one of `known`.
    ///
    /// # Errors
    /// [`ArgumentError::Unknown`].
    pub fn check(&self, known: &[&[Argument]]) -> Result<(), ArgumentError> {
        let known = || known.iter().copied().flatten().map(|argument| argument.key);
        match self.0.iter().find(|(key, _)| !known().any(|it| it == key)) {
            None => Ok(()),
            Some((key, _)) => Err(ArgumentError::Unknown {
                key: key.clone(),
                known: known().collect(),
            }),
        }
    }
}

/// A set of arguments that an app declared; [`arguments!`](crate::arguments!) implements it.
pub trait ArgumentSet: Sized {
    /// All of them.
    const KNOWN: &'static [Argument];

    /// Reads them.
    ///
    /// # Errors
    /// [`ArgumentError::BadValue`].
    fn read(words: &Words) -> Result<Self, ArgumentError>;
}

impl ArgumentSet for () {
    const KNOWN: &'static [Argument] = &[];

    fn read(_: &Words) -> Result<Self, ArgumentError> {
        Ok(())
    }
}

/// Declares an app's boot arguments: a struct `Arguments` with a field for each.
///
/// The first line of a field's documentation is its help text; the default is what it has when it
/// is not given.
///
/// ```
/// landfall::arguments! {
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

        impl $crate::arguments::ArgumentSet for Arguments {
            const KNOWN: &'static [$crate::arguments::Argument] = &[
                $($crate::arguments::Argument {
                    key: stringify!($name),
                    help: concat!($($help),+),
                    default: stringify!($default),
                },)*
            ];

            fn read(
                words: &$crate::arguments::Words,
            ) -> Result<Self, $crate::arguments::ArgumentError> {
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

impl ArgumentValue for log::LevelFilter {
    const EXPECTED: &'static str = "off, error, warn, info, debug or trace";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Lists arguments for a person, one a line.
pub(crate) fn help(sets: &[&[Argument]]) -> String {
    let mut text = "boot arguments, each key=value:\n".to_string();
    for argument in sets.iter().copied().flatten() {
        text += &alloc::format!(
            "  {:<10}{} (default: {})\n",
            argument.key,
            argument.help.trim(),
            argument.default
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::arguments! {
        /// TCP port to listen on
        port: u16 = 8080,
        /// Who is greeted
        name: String = "world".to_string(),
    }

    #[test]
    fn defaults_and_given_values() {
        let arguments = Arguments::read(&Words::parse("").unwrap()).unwrap();
        assert_eq!((arguments.port, arguments.name.as_str()), (8080, "world"));
        let arguments = Arguments::read(&Words::parse(" port=1  name=a=b\n").unwrap()).unwrap();
        assert_eq!((arguments.port, arguments.name.as_str()), (1, "a=b"));
    }

    #[test]
    fn errors_name_the_key_and_what_is_known() {
        let known = [Arguments::KNOWN];
        let sentence = |line: &str| {
            Words::parse(line)
                .and_then(|words| {
                    words.check(&known)?;
                    Arguments::read(&words)
                })
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            sentence("port"),
            "boot argument `port` is not of the form key=value"
        );
        assert_eq!(
            sentence("=1"),
            "boot argument `=1` is not of the form key=value"
        );
        assert_eq!(
            sentence("port=1 port=2"),
            "boot argument `port` is given twice"
        );
        assert_eq!(
            sentence("prot=1"),
            "unknown boot argument `prot`; known are: port, name"
        );
        assert_eq!(
            sentence("port=65536"),
            "boot argument port=65536: expected a number from 0 to 65535"
        );
    }

    #[test]
    fn help_names_every_argument() {
        let text = help(&[Arguments::KNOWN]);
        assert!(
            text.contains("port      TCP port to listen on (default: 8080)"),
            "{text}"
        );
    }
}
