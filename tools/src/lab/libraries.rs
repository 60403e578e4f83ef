//! Which shared libraries programs need: what their ELF files name, and what those libraries name in turn.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, elf};

use super::tree::Tree;

/// Adds to `tree` what its programs need of the libraries in `packages`, and those `loaded` by name at run time.
pub(crate) fn add(tree: &mut Tree, packages: &Tree, loaded: &[&str]) -> Result<()> {
    let by_name = libraries(packages);
    let needs_of = |tree: &Tree, path: &str| -> Result<Vec<Need>> {
        let names = needs(tree.file(path).unwrap_or_default());
        let names = names.with_context(|| format!("{path} is a damaged program"))?;
        Ok(names
            .into_iter()
            .map(|name| Need {
                name,
                by: path.to_owned(),
            })
            .collect())
    };
    let mut waiting: Vec<Need> = loaded
        .iter()
        .map(|name| Need {
            name: (*name).to_owned(),
            by: "the C library".to_owned(),
        })
        .collect();
    for (path, _) in tree.iter() {
        waiting.extend(needs_of(tree, path)?);
    }
    while let Some(Need { name, by }) = waiting.pop() {
        let library = by_name
            .get(name.as_str())
            .with_context(|| format!("{by} needs {name}, which is in none of the packages"))?;
        if tree.file(library).is_none() {
            tree.take(packages, library)?;
            waiting.extend(needs_of(tree, library)?);
        }
    }
    Ok(())
}

/// A library that is still to be added, and who needs it.
struct Need {
    name: String,
    by: String,
}

/// The libraries of `packages` by the last part of their path.
fn libraries(packages: &Tree) -> BTreeMap<&str, &str> {
    let name = |path: &'_ str| path.rfind('/').map_or(0, |slash| slash + 1);
    packages
        .iter()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with("usr/lib/") && path.contains(".so"))
        .map(|path| (&path[name(path)..], path))
        .collect()
}

/// The names of the libraries that an ELF file needs, its loader among them. None for any other file.
fn needs(data: &[u8]) -> Result<Vec<String>> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf32) => needs_of(&ElfFile32::<Endianness>::parse(data)?, data),
        Ok(FileKind::Elf64) => needs_of(&ElfFile64::<Endianness>::parse(data)?, data),
        _ => Ok(Vec::new()),
    }
}

fn needs_of<Elf: FileHeader>(file: &ElfFile<'_, Elf>, data: &[u8]) -> Result<Vec<String>> {
    let table = file.elf_dynamic_table()?;
    let mut names = Vec::new();
    for entry in table.iter().filter(|entry| entry.tag == elf::DT_NEEDED) {
        names.push(String::from_utf8_lossy(table.string(entry)?).into_owned());
    }
    for header in file.elf_program_headers() {
        if let Some(loader) = header.interpreter(file.endian(), data)? {
            let loader = String::from_utf8_lossy(loader);
            names.extend(loader.rsplit('/').next().map(str::to_owned));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own executable, which needs at least the C library and a loader.
    fn program() -> Vec<u8> {
        let path = std::env::current_exe().expect("this program has a path");
        std::fs::read(path).expect("it can be read")
    }

    #[test]
    fn a_program_names_its_libraries_and_its_loader() {
        let names = needs(&program()).expect("a sound program");
        assert!(names.iter().any(|name| name == "libc.so.6"), "{names:?}");
        assert!(
            names.iter().any(|name| name.starts_with("ld-linux")),
            "{names:?}"
        );
        assert!(needs(b"#!/bin/sh\n").expect("no program").is_empty());
    }

    #[test]
    fn libraries_are_added_with_the_files_behind_links() {
        let mut packages = Tree::default();
        let mut tree = Tree::default();
        tree.insert("usr/bin/program", 0o755, program());
        for name in needs(&program()).expect("a sound program") {
            packages.insert(&format!("usr/lib/real/{name}.0"), 0o644, *b"library");
            packages.link(&format!("usr/lib/{name}"), &format!("real/{name}.0"));
        }
        add(&mut tree, &packages, &[]).expect("all are there");
        assert!(tree.file("usr/lib/libc.so.6").is_some());
        assert!(tree.file("usr/lib/real/libc.so.6.0").is_some());
    }

    #[test]
    fn a_missing_library_is_named() {
        let mut tree = Tree::default();
        tree.insert("usr/bin/program", 0o755, program());
        let error = add(&mut tree, &Tree::default(), &[]).expect_err("there are no libraries");
        assert!(
            error.to_string().contains("usr/bin/program needs"),
            "{error}"
        );
    }
}
