//! Puts this CPU's linker script where the linker looks for it.
//!
//! `.cargo/config.toml` links every image with `-Timage.ld`; the search path that this script
//! prints decides which CPU's `image.ld` that is.

use std::{env, path::PathBuf};

fn main() {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it for build scripts");
    let folder = if arch == "arm" { "armv7" } else { &arch };
    let os = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it for build scripts");
    let scripts = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("src")
        .join(folder);
    println!(
        "cargo::rerun-if-changed={}",
        scripts.join("image.ld").display()
    );
    if os == "none" {
        println!("cargo::rustc-link-search=native={}", scripts.display());
    }
}
