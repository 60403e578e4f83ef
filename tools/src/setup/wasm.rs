//! WebAssembly for the pages of apps: what an app's build script needs to compile it.
//!
//! Build scripts read `LANDFALL_WASM_CARGO`, `LANDFALL_WASM_RUSTC`, `LANDFALL_WASM_FLAGS` and
//! `LANDFALL_WASM_LINKER`. The first is a script: the cargo that runs the build script has set variables
//! for its own target (flags, a clippy wrapper) which must not reach the inner build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::cache;
use super::toolchain::{Toolchain, cargo_program};

/// The target of pages.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The compiler for pages, as build scripts are told of it.
#[derive(Clone, Debug)]
pub(crate) struct WasmToolchain {
    toolchain: Toolchain,
    cargo: PathBuf,
}

impl WasmToolchain {
    /// Hands `toolchain` to build scripts through a script in `folder`.
    pub(crate) fn new(toolchain: Toolchain, folder: &Path) -> Result<Self> {
        let cargo = folder.join("landfall/wasm/cargo");
        let bootstrap = if toolchain.builds_library() {
            "export RUSTC_BOOTSTRAP=1\n"
        } else {
            "unset RUSTC_BOOTSTRAP\n"
        };
        let body = format!(
            "unset RUSTC_WORKSPACE_WRAPPER RUSTC_WRAPPER CLIPPY_ARGS CARGO_ENCODED_RUSTFLAGS RUSTFLAGS\n\
             {bootstrap}exec {} \"$@\"",
            cache::quote(&cargo_program())
        );
        cache::script(&cargo, &body)?;
        Ok(Self { toolchain, cargo })
    }

    /// Sets the variables on a cargo command.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.env("LANDFALL_WASM_CARGO", &self.cargo);
        command.env("LANDFALL_WASM_RUSTC", self.toolchain.rustc());
        command.env("LANDFALL_WASM_FLAGS", self.toolchain.flags().join(" "));
        match self.toolchain.linker() {
            Some(linker) => command.env("LANDFALL_WASM_LINKER", linker),
            None => command.env_remove("LANDFALL_WASM_LINKER"),
        };
    }
}
