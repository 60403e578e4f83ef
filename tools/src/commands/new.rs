//! `cargo landfall new`: an app to begin with.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::registry::Workspace;

/// The files of an app, and their texts with `@name@` and `@library@` in them.
const FILES: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.in")),
    ("src/lib.rs", include_str!("new/lib.rs.in")),
    ("src/main.rs", include_str!("new/main.rs.in")),
];

/// Makes an app that builds, runs on every board and has a test
///
/// It becomes the folder apps/NAME and a member of the workspace: a library with what it answers and a test of
/// that, and a binary with the wiring.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall new greeter                  then edit apps/greeter/src/lib.rs\n  \
    cargo landfall run greeter --board virt\n  \
    cargo test -p greeter")]
pub(crate) struct Arguments {
    /// Its name: small letters, digits and -, a letter first
    name: String,
}

/// Makes the app, or leaves everything as it was.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let name = &arguments.name;
    check(name)?;
    let workspace = Workspace::load()?;
    ensure!(
        !workspace.has_package(name),
        "the workspace has a package {name} already: choose another name"
    );
    let folder = workspace.root().join("apps").join(name);
    ensure!(
        !folder.exists(),
        "{} is there already: choose another name",
        folder.display()
    );
    let manifest = workspace.root().join("Cargo.toml");
    let before = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let made = make(name, &folder, &manifest, &before);
    if made.is_err() {
        // What cannot be undone was not done.
        let _absent = std::fs::remove_dir_all(&folder);
        let _unchanged = std::fs::write(&manifest, before);
    }
    made?;
    println!(
        "apps/{name} is made; next:\n  cargo landfall run {name}\n  cargo landfall run {name} --board virt\n  \
         cargo test -p {name}"
    );
    Ok(ExitCode::SUCCESS)
}

/// A name of a package and of a domain. cargo itself judges the rest, such as words of the language.
fn check(name: &str) -> Result<()> {
    let allowed =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let fits = (1..=40).contains(&name.len());
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !fits || !begins || !name.chars().all(allowed) || name.ends_with('-') {
        bail!(
            "{name:?} cannot name an app: write up to 40 small letters, digits and -, a letter first"
        );
    }
    Ok(())
}

fn make(name: &str, folder: &Path, manifest: &Path, before: &str) -> Result<()> {
    let library = name.replace('-', "_");
    for (path, text) in FILES {
        let path = folder.join(path);
        let parent = path.parent().context("a file lies in a folder")?;
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        let text = text.replace("@name@", name).replace("@library@", &library);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let after = with_member(before, &format!("apps/{name}"))
        .with_context(|| format!("{} has no list members = [ … ]", manifest.display()))?;
    std::fs::write(manifest, after)
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    // cargo reads the new package: what it does not like, it says.
    Workspace::load()?.app(name).map(drop)
}

/// The workspace's manifest with one member more, before the first that comes after it by name.
fn with_member(manifest: &str, member: &str) -> Option<String> {
    let line = format!("    \"{member}\",");
    let mut lines: Vec<&str> = manifest.lines().collect();
    let first = lines.iter().position(|line| *line == "members = [")? + 1;
    let place = lines[first..]
        .iter()
        .position(|other| *other == "]" || *other > line.as_str())?;
    lines.insert(first + place, &line);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages() {
        for good in ["a", "greeter", "web-2", "n0"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "", "2048", "-a", "a-", "A", "a b", "a/b", "../a", "ä", "a_b",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"a".repeat(41)).is_err());
    }

    #[test]
    fn members_stay_in_order() {
        let manifest =
            "[workspace]\nmembers = [\n    \"apps/2048\",\n    \"apps/hello\",\n    \"arch\",\n]\n";
        let with = |member| with_member(manifest, member).expect("there is a list");
        assert_eq!(
            with("apps/greeter"),
            manifest.replace(
                "    \"apps/hello\"",
                "    \"apps/greeter\",\n    \"apps/hello\""
            )
        );
        assert_eq!(
            with("zoo"),
            manifest.replace("    \"arch\",", "    \"arch\",\n    \"zoo\",")
        );
        assert_eq!(with_member("[package]\n", "a"), None);
    }
}
