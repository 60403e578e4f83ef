//! Puts the linker script where the linker looks for it: `.cargo/config.toml` links every image with
//! `-Timage.ld`.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=src/image.ld");
    let os = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it for build scripts");
    if os == "none" {
        // A copy: of this folder cargo knows when the workspace has moved.
        let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
        fs::copy("src/image.ld", folder.join("image.ld"))
            .expect("the script is there, and room for a copy");
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
}
