//! Set-up: one file per thing that a command may find missing.
//!
//! [`toolchain`] finds or fetches a compiler for a target, [`linker`] its linker, [`wasm`] hands both to
//! the build scripts of apps, [`programs`] installs QEMU, a browser and the like,
//! [`components`] rustfmt and clippy. [`apt`] and [`debian`]
//! do the fetching, [`cache`] is where private copies live.

pub(crate) mod apt;
pub(crate) mod cache;
pub(crate) mod components;
pub(crate) mod debian;
pub(crate) mod linker;
pub(crate) mod programs;
pub(crate) mod toolchain;
pub(crate) mod wasm;
