//! Printing for a reader who may leave, as in `… | head`.
//!
//! The standard library's macros of these names panic then, and nothing would be cleaned up. These end the command as
//! Ctrl-C does.

use std::fmt::Arguments;
use std::io::Write;

/// What the standard library's `print!` is.
macro_rules! print {
    ($($words:tt)*) => {
        $crate::print::write(std::io::stdout().lock(), format_args!($($words)*))
    };
}

/// What the standard library's `println!` is.
macro_rules! println {
    ($($words:tt)*) => {
        print!("{}\n", format_args!($($words)*))
    };
}

/// What the standard library's `eprint!` is.
macro_rules! eprint {
    ($($words:tt)*) => {
        $crate::print::write(std::io::stderr().lock(), format_args!($($words)*))
    };
}

/// What the standard library's `eprintln!` is.
macro_rules! eprintln {
    ($($words:tt)*) => {
        eprint!("{}\n", format_args!($($words)*))
    };
}

/// Writes `words` at once.
pub(crate) fn write(mut output: impl Write, words: Arguments<'_>) {
    if output
        .write_fmt(words)
        .and_then(|()| output.flush())
        .is_err()
    {
        crate::process::stop();
    }
}
