//! What the arguments of a line become in a frame: numbers and texts themselves, everything else the text of
//! its `Display`.
//!
//! The macros call `(&Argument(&value)).shown()`, and method lookup finds [`ByValue`] before [`ByText`],
//! which is one reference further away.

use core::fmt::Display;
use defmt::{Display2Format, Format};

/// An argument of a line.
pub struct Argument<'a, T: ?Sized>(pub &'a T);

/// What a frame has a form of its own for.
pub trait ByValue {
    /// As it goes into the frame.
    type Shown: Format;

    /// Returns it.
    fn shown(&self) -> Self::Shown;
}

macro_rules! by_value {
    ($($type:ty),*) => {$(
        impl ByValue for Argument<'_, $type> {
            type Shown = $type;

            fn shown(&self) -> $type {
                *self.0
            }
        }
    )*};
}

by_value!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, bool);

impl<'a> ByValue for Argument<'_, &'a str> {
    type Shown = &'a str;

    fn shown(&self) -> &'a str {
        self.0
    }
}

/// Everything else.
pub trait ByText<'a, T: Display + ?Sized> {
    /// Returns it.
    fn shown(&self) -> Display2Format<'a, T>;
}

impl<'a, T: Display + ?Sized> ByText<'a, T> for &Argument<'a, T> {
    fn shown(&self) -> Display2Format<'a, T> {
        Display2Format(self.0)
    }
}
