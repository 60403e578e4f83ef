//! [`Name`]: what a player is called, as far as others should have to read it.

use alloc::string::String;
use core::fmt;

/// Most characters of a name.
pub(crate) const MAX_CHARACTERS: usize = 16;

/// Whoever gives no name.
const NOBODY: &str = "Guest";

/// A name: one line of visible characters, without spaces at its ends or two in a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Name(String);

impl Name {
    /// Cleans what a player has typed.
    ///
    /// # Errors
    /// When it is longer than [`MAX_CHARACTERS`], or has characters that are not seen or that turn
    /// the direction of the text around them.
    pub(crate) fn new(typed: &str) -> Result<Self, NameError> {
        if let Some(character) = typed.chars().find(|character| is_unseen(*character)) {
            return Err(NameError::Character(character));
        }
        let mut name = String::new();
        for word in typed.split_whitespace() {
            if !name.is_empty() {
                name.push(' ');
            }
            name.push_str(word);
        }
        if name.chars().count() > MAX_CHARACTERS {
            return Err(NameError::TooLong);
        }
        if name.is_empty() {
            name.push_str(NOBODY);
        }
        Ok(Self(name))
    }

    /// Returns the name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and those that Unicode calls format characters and that turn up in text: joiners,
/// marks and overrides of direction, tags.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NameError {
    /// This character is not shown.
    Character(char),
    /// More than [`MAX_CHARACTERS`].
    TooLong,
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Character(character) => {
                write!(
                    formatter,
                    "the name has the character U+{:04X}",
                    u32::from(character)
                )
            }
            Self::TooLong => write!(
                formatter,
                "the name has more than {MAX_CHARACTERS} characters"
            ),
        }
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        for (typed, name) in [
            ("Ada", "Ada"),
            ("  Ada \u{a0} Lovelace ", "Ada Lovelace"),
            ("", "Guest"),
            ("   ", "Guest"),
            ("Žofie 東京", "Žofie 東京"),
            ("<b>\"&'", "<b>\"&'"),
            ("0123456789abcdef", "0123456789abcdef"),
        ] {
            assert_eq!(
                Name::new(typed).map(|name| name.0),
                Ok(name.to_owned()),
                "{typed:?}"
            );
        }
    }

    #[test]
    fn names_that_others_should_not_have_to_read() {
        for bad in [
            '\0',
            '\n',
            '\t',
            '\x1b',
            '\x7f',
            '\u{85}',
            '\u{202e}',
            '\u{200b}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(
                Name::new(&format!("A{bad}da")),
                Err(NameError::Character(bad))
            );
        }
        assert_eq!(Name::new("0123456789abcdefg"), Err(NameError::TooLong));
        assert_eq!(Name::new(&"é".repeat(17)), Err(NameError::TooLong));
    }
}
