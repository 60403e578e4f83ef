//! Puts the linker script where the linker looks for it: `.cargo/config.toml` links every image with
//! `-Timage.ld`.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=src/image.ld");
    let os = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it for build scripts");
    if os == "none" {
        let folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let scripts = PathBuf::from(folder).join("src");
        println!("cargo::rustc-link-search=native={}", scripts.display());
    }
}
