//! How many bytes are shipped.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::table::Column;
use crate::commands::build::Image;
use crate::registry::{App, Workspace};

pub(super) const HOW: &str = "the flat image, page included; Linux: kernel and initramfs";

/// Measures the image, and apart from it the page's files, which any server would carry.
pub(super) fn measure(
    column: &mut Column<'_>,
    workspace: &Workspace,
    app: &App,
    image: &Image,
) -> Result<()> {
    column.add("image, bytes", image.bytes, HOW);
    if let Some(assets) = assets(workspace, app) {
        column.add(
            "page's files, bytes",
            assets,
            "in the image: `page/assets` and the WebAssembly",
        );
        column.add(
            "image without them, bytes",
            image.bytes.saturating_sub(assets),
            "the difference",
        );
    }
    Ok(())
}

/// The size of the app's page, if it has one: the files beside its source and the module its build
/// script compiled.
fn assets(workspace: &Workspace, app: &App) -> Option<u64> {
    let folder = workspace.folder(app)?.join("page/assets");
    let files = folder_bytes(&folder)?;
    Some(files + newest_module(workspace, app).unwrap_or(0))
}

fn folder_bytes(folder: &Path) -> Option<u64> {
    let sizes = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
    Some(sizes.sum())
}

/// The size of the module that the app's build script made last, for this machine or for any CPU.
fn newest_module(workspace: &Workspace, app: &App) -> Option<u64> {
    let target = workspace.target_directory();
    let mut modules = Vec::new();
    find_modules(&target, &app.package, &mut modules);
    for cpu in entries(&target.join("landfall/build")) {
        for compiler in ["", "source", "debian"] {
            for target in entries(&cpu.join(compiler)) {
                find_modules(&target, &app.package, &mut modules);
            }
        }
    }
    let newest = modules
        .into_iter()
        .max_by_key(|data| data.modified().ok())?;
    Some(newest.len())
}

fn find_modules(target: &Path, package: &str, found: &mut Vec<std::fs::Metadata>) {
    let prefix = format!("{package}-");
    let scripts = entries(&target.join("release/build"));
    for script in scripts.filter(|script| {
        let name = script.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(&prefix)
    }) {
        let files = entries(&script.join("out/wasm/wasm32-unknown-unknown/release"));
        let modules = files.filter(|file| file.extension().is_some_and(|kind| kind == "wasm"));
        found.extend(modules.filter_map(|module| module.metadata().ok()));
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}
