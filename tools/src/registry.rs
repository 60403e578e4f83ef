//! Boards and apps, as the workspace's packages declare them.
//!
//! A package says that it is a board or an app in its `Cargo.toml`, under
//! `[package.metadata.landfall.board]` or `[package.metadata.landfall.app]`. Adding one needs no change
//! here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;

use crate::image::Cpu;

/// A name that no board or app has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no {kind} {name:?}{}; known {kind}s: {}", suggestion(.nearest.as_deref()), .known.join(", "))]
pub(crate) struct UnknownName {
    kind: &'static str,
    name: String,
    nearest: Option<String>,
    known: Vec<String>,
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!(" (did you mean {nearest:?}?)")
    })
}

/// What runs an app's image.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Board {
    /// As given to `--board`.
    pub(crate) name: String,
    /// One line for the table.
    pub(crate) summary: String,
    /// The compiler's target; none is the host itself.
    pub(crate) target: Option<String>,
    /// The oldest CPU that its images run on, where that is not the target's in `.cargo/config.toml`.
    #[serde(rename = "target-cpu")]
    pub(crate) target_cpu: Option<String>,
    /// The feature of `landfall-board` that picks it, where it is not the target's default.
    pub(crate) feature: Option<String>,
    /// What its images are handed to, where that is not this machine or QEMU on it.
    pub(crate) loader: Option<Loader>,
}

impl Board {
    /// The CPU, where it is a machine.
    pub(crate) fn cpu(&self) -> Option<Cpu> {
        self.target.as_deref().and_then(Cpu::of_target)
    }

    /// Returns the CPU, or says that this is no machine.
    pub(crate) fn machine(&self) -> Result<Cpu> {
        self.cpu().with_context(|| {
            format!(
                "board {} makes a program of this machine, not an image: add --board virt",
                self.name
            )
        })
    }

    /// The file name of an app's image.
    pub(crate) fn image_file(&self, app: &App) -> String {
        match self.cpu() {
            Some(cpu) => format!("{}.{}", app.name, cpu.ending()),
            None => app.name.clone(),
        }
    }

    /// What Xen calls the domain of an app where the user does not say: a number alone would be no name.
    pub(crate) fn domain_name(&self, app: &App) -> String {
        format!("{}-{}", app.name, self.name)
    }
}

/// What creates a machine of an image, from a file that is left beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Loader {
    /// Xen's command line, on a host that runs Xen.
    Xl,
    /// U-Boot, from an SD card.
    Card,
}

/// A program that can be built for a board.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// As given on the command line.
    pub(crate) name: String,
    /// One line for the table.
    pub(crate) summary: String,
    /// The cargo package.
    pub(crate) package: String,
    /// Only tests start it: it is built by name but not listed.
    pub(crate) hidden: bool,
    /// The boards on which tests start it, where that is not all.
    pub(crate) boards: Option<Vec<String>>,
    /// A build script may compile WebAssembly, for which the tool sets up a compiler.
    pub(crate) has_build_script: bool,
}

#[derive(Deserialize)]
struct AppEntry {
    name: String,
    summary: String,
    #[serde(default)]
    hidden: bool,
    boards: Option<Vec<String>>,
}

impl App {
    /// Returns whether tests start it on `board`: the tests' own guests on machines only, where they do not say
    /// otherwise.
    pub(crate) fn is_tested_on(&self, board: &Board) -> bool {
        match &self.boards {
            Some(boards) => boards.contains(&board.name),
            None => board.target.is_some() || !self.hidden,
        }
    }
}

/// The package of the fuzzers.
pub(crate) const FUZZERS: &str = "landfall-fuzz";

/// A function of bytes that must come back for every input.
#[derive(Clone, Debug)]
pub(crate) struct FuzzTarget {
    /// As given on the command line; its program's, too.
    pub(crate) name: String,
    /// One line for the table.
    pub(crate) summary: String,
    /// The folder of inputs in the repository.
    pub(crate) corpus: PathBuf,
}

/// Returns what a program's source says of it in its first line.
fn summary(source: &Path) -> String {
    let text = std::fs::read_to_string(source).unwrap_or_default();
    let line = text.lines().next().and_then(|it| it.strip_prefix("//! "));
    line.unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The cargo workspace in which the command runs.
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Reads the workspace around the current folder.
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context(
            "cannot read the workspace: run this command inside the Landfall repository",
        )?;
        Ok(Self { metadata })
    }

    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Cargo's target folder.
    pub(crate) fn target_directory(&self) -> PathBuf {
        self.metadata.target_directory.clone().into_std_path_buf()
    }

    /// All boards, by name.
    pub(crate) fn boards(&self) -> Result<Vec<Board>> {
        let mut boards = Vec::new();
        for (package, entry) in self.entries("board") {
            let board: Board = serde_json::from_value(entry.clone()).with_context(|| {
                format!("[package.metadata.landfall.board] of {}", package.name)
            })?;
            boards.push(board);
        }
        boards.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(boards)
    }

    /// The apps to choose from, by name.
    pub(crate) fn apps(&self) -> Result<Vec<App>> {
        Ok(self
            .apps_and_guests()?
            .into_iter()
            .filter(|app| !app.hidden)
            .collect())
    }

    /// The apps and the guests that only tests start, by name.
    pub(crate) fn apps_and_guests(&self) -> Result<Vec<App>> {
        let mut apps = Vec::new();
        for (package, entry) in self.entries("app") {
            let entry: AppEntry = serde_json::from_value(entry.clone())
                .with_context(|| format!("[package.metadata.landfall.app] of {}", package.name))?;
            apps.push(app(package, entry));
        }
        apps.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(apps)
    }

    /// The board called `name`.
    pub(crate) fn board(&self, name: &str) -> Result<Board> {
        Ok(pick("board", self.boards()?, |board| &board.name, name)?)
    }

    /// The app called `name`.
    pub(crate) fn app(&self, name: &str) -> Result<App> {
        let mut apps = self.apps_and_guests()?;
        apps.retain(|app| !app.hidden || app.name == name);
        Ok(pick("app", apps, |app| &app.name, name)?)
    }

    /// The fuzzers, by name.
    pub(crate) fn fuzz_targets(&self) -> Result<Vec<FuzzTarget>> {
        let package = self.packages().find(|it| it.name.as_str() == FUZZERS);
        let package = package.with_context(|| format!("the workspace has no package {FUZZERS}"))?;
        let folder = package.manifest_path.as_std_path().with_file_name("corpus");
        let programs = package.targets.iter().filter(|target| target.is_bin());
        let mut targets: Vec<FuzzTarget> = programs
            .map(|target| FuzzTarget {
                name: target.name.clone(),
                summary: summary(target.src_path.as_std_path()),
                corpus: folder.join(&target.name),
            })
            .collect();
        targets.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(targets)
    }

    /// The fuzzer called `name`.
    pub(crate) fn fuzz_target(&self, name: &str) -> Result<FuzzTarget> {
        Ok(pick(
            "fuzz target",
            self.fuzz_targets()?,
            |target| &target.name,
            name,
        )?)
    }

    /// Returns whether there is such a package.
    pub(crate) fn has_package(&self, name: &str) -> bool {
        self.packages().any(|package| package.name.as_str() == name)
    }

    /// The parts of the runtime that apps choose among: the features of the crate `landfall`.
    pub(crate) fn parts(&self) -> Vec<String> {
        let runtime = self
            .packages()
            .find(|package| package.name.as_str() == "landfall");
        let features = runtime.map(|package| package.features.keys().cloned());
        // How lines are logged is a switch of the build.
        let parts = features.into_iter().flatten();
        parts.filter(|name| name != "defmt").collect()
    }

    /// Checks that the runtime has such parts.
    pub(crate) fn check_parts(&self, parts: &[String]) -> Result<()> {
        let known = self.parts();
        for name in parts {
            pick("part", known.clone(), |part| part, name)?;
        }
        Ok(())
    }

    /// The folder of an app's `Cargo.toml`.
    pub(crate) fn folder(&self, app: &App) -> Option<&Path> {
        let package = self
            .packages()
            .find(|package| package.name.as_str() == app.package)?;
        package.manifest_path.as_std_path().parent()
    }

    fn packages(&self) -> impl Iterator<Item = &Package> {
        self.metadata.workspace_packages().into_iter()
    }

    fn entries(&self, kind: &'static str) -> impl Iterator<Item = (&Package, &serde_json::Value)> {
        self.packages().filter_map(move |package| {
            let entry = package.metadata.get("landfall")?.get(kind)?;
            Some((package, entry))
        })
    }
}

fn app(package: &Package, entry: AppEntry) -> App {
    let AppEntry {
        name,
        summary,
        hidden,
        boards,
    } = entry;
    let has_build_script = package
        .targets
        .iter()
        .any(cargo_metadata::Target::is_custom_build);
    App {
        name,
        summary,
        package: package.name.to_string(),
        hidden,
        boards,
        has_build_script,
    }
}

/// Returns the entry called `name`, or an error with the known names and the nearest of them.
fn pick<T>(
    kind: &'static str,
    entries: Vec<T>,
    name_of: impl Fn(&T) -> &String,
    name: &str,
) -> Result<T, UnknownName> {
    let known: Vec<String> = entries.iter().map(|entry| name_of(entry).clone()).collect();
    match entries.into_iter().find(|entry| name_of(entry) == name) {
        Some(entry) => Ok(entry),
        None => {
            let nearest = nearest(name, &known);
            Err(UnknownName {
                kind,
                name: name.to_owned(),
                nearest,
                known,
            })
        }
    }
}

/// The known name that `name` most likely was meant to be.
pub(crate) fn nearest(name: &str, known: &[String]) -> Option<String> {
    const ALIKE: f64 = 0.5;
    known
        .iter()
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(name, candidate),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["2048", "hello", "unix", "virt"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        assert_eq!(nearest("2084", &names()).as_deref(), Some("2048"));
        assert_eq!(nearest("helo", &names()).as_deref(), Some("hello"));
        assert_eq!(nearest("vitr", &names()).as_deref(), Some("virt"));
    }

    #[test]
    fn nothing_is_suggested_for_a_name_that_is_like_none() {
        assert_eq!(nearest("raspberry", &names()), None);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = pick("board", names(), |name| name, "virtt").expect_err("no such board");
        assert_eq!(
            error.to_string(),
            "there is no board \"virtt\" (did you mean \"virt\"?); known boards: 2048, hello, unix, virt"
        );
    }
}
