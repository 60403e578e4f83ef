//! The console: standard output.

use std::io::{self, Write};

/// Writes text at once, so that whoever reads a pipe sees each line when it is written.
pub(crate) fn write(text: &[u8]) {
    let mut output = io::stdout().lock();
    // Nobody may be reading any more; a server goes on.
    let _ = output.write_all(text).and_then(|()| output.flush());
}
