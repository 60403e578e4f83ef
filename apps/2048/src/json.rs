//! JSON as it is written: the pieces that `core::fmt` does not have.

use core::fmt::{self, Display, Formatter, Write as _};

/// A JSON string.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(formatter, "\\{character}")?,
                '\0'..='\x1f' => write!(formatter, "\\u{:04x}", u32::from(character))?,
                _ => formatter.write_char(character)?,
            }
        }
        formatter.write_char('"')
    }
}

/// A JSON value, or `null`.
pub(crate) struct OrNull<T>(pub(crate) Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(formatter),
            None => formatter.write_str("null"),
        }
    }
}

/// A JSON array of what an iterator yields.
pub(crate) struct Array<I>(pub(crate) I);

impl<I: Iterator<Item: Display> + Clone> Display for Array<I> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_char('[')?;
        for (index, item) in self.0.clone().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}{item}")?;
        }
        formatter.write_char(']')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(
            Quoted("a \"b\" \\ \n é").to_string(),
            r#""a \"b\" \\ \u000a é""#
        );
    }

    #[test]
    fn arrays_have_commas_between() {
        assert_eq!(Array([1; 0].iter()).to_string(), "[]");
        assert_eq!(Array([1, 2].iter()).to_string(), "[1,2]");
    }
}
