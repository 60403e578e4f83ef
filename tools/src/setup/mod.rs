//! Set-up: one file per thing that a command may find missing.
//!
//! [`toolchain`] finds or fetches a compiler for a target, [`linker`] its linker, [`wasm`] hands both to
//! the build scripts of apps, [`programs`] installs QEMU, a browser and the like, [`sshd`] finds an ssh server and
//! [`xen_headers`] Xen's headers for the tests,
//! [`components`] rustfmt and clippy. [`apt`], [`debian`] and [`foreign`] (packages for another architecture)
//! do the fetching, [`cache`] is where private copies live.

pub(crate) mod apt;
pub(crate) mod cache;
pub(crate) mod components;
pub(crate) mod debian;
pub(crate) mod foreign;
pub(crate) mod linker;
pub(crate) mod programs;
pub(crate) mod sshd;
pub(crate) mod toolchain;
pub(crate) mod wasm;
pub(crate) mod xen_headers;
