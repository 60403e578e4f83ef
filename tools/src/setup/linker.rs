//! The linker for targets without a C compiler: LLVM's lld.
//!
//! Rust's own copy is used where the user's toolchain has one, then one on `PATH`, then Debian's.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{apt, debian};
use crate::process::find_program;

/// Returns a linker that is here already: Rust's in `sysroot`, one on `PATH`, or Debian's unpacked.
pub(crate) fn find(sysroot: &Path, host: &str) -> Option<PathBuf> {
    let own = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    let named = ["rust-lld", "ld.lld"].into_iter().find_map(find_program);
    own.is_file()
        .then_some(own)
        .or(named)
        .or_else(debian::find_lld)
}

/// Returns a linker, fetching one where there is none.
pub(crate) fn get(sysroot: &Path, host: &str) -> Result<PathBuf> {
    match find(sysroot, host) {
        Some(linker) => Ok(linker),
        None if apt::available() => debian::lld("a linker (lld) is missing"),
        None => bail!("a linker is missing: install LLVM's lld, so that `ld.lld` is on PATH"),
    }
}
