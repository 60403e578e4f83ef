//! `cargo landfall size`: what fills an image, by crate.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use serde::Serialize;

use super::apps::print_table;
use super::build;
use crate::cargo::{Compilers, shown};
use crate::image;
use crate::registry::Workspace;

/// What assembly defines, or a function whose name is not Rust's.
const PLAIN: &str = "(plain names)";

/// Texts and tables that have no name in the ELF file, and the gaps between what has one.
const NAMELESS: &str = "(without a name)";

/// Shows what fills an app's image, by crate
///
/// A function counts for the crate that defines it, a generic one too, whoever uses it. What has no name in the
/// ELF file, such as texts, is a row of its own, and so is what fills pages up: the rows add up to the image.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall size hello                        the image for board virt\n  \
    cargo landfall size 2048 --board cubieboard2 --largest 20\n  \
    cargo landfall size hello --with ipv6,mdns       what it would be with these parts of the runtime\n  \
    cargo landfall size 2048 --json                  for a script that watches")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "virt")]
    board: String,
    /// Give it these features of the crate landfall, besides its own
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    with: Vec<String>,
    /// Show so many of the largest functions and constants, too
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    largest: usize,
    /// Print one JSON object: bytes, crates (each with name, code, data), largest (each with name, bytes)
    #[arg(long)]
    json: bool,
}

/// What an image is made of.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Content {
    /// The image.
    bytes: u64,
    /// By crate, the largest first.
    crates: Vec<Crate>,
    /// The largest functions and constants.
    largest: Vec<Item>,
}

/// A crate's part.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Crate {
    name: String,
    /// Bytes of functions.
    code: u64,
    /// Bytes of constants and variables.
    data: u64,
}

/// A function or constant.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Item {
    name: String,
    bytes: u64,
}

/// Builds, counts and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    board.machine()?;
    workspace.check_parts(&arguments.with)?;
    // An image with other parts does not take the place of the app's.
    let apart = tempfile::tempdir()?;
    let folder = match arguments.with.is_empty() {
        true => build::images_folder(&workspace, &board),
        false => apart.path().to_owned(),
    };
    let mut compilers = Compilers::new(&workspace).with_parts(arguments.with.clone());
    let image = build::build(&mut compilers, &app, &board, &folder)?;
    let elf =
        std::fs::read(&image.elf).with_context(|| format!("cannot read {}", shown(&image.elf)))?;
    let content = Content::of(&elf, image.bytes, arguments.largest)
        .with_context(|| format!("cannot read {}", shown(&image.elf)))?;
    if arguments.json {
        println!("{}", serde_json::to_string(&content)?);
    } else {
        content.print();
    }
    Ok(ExitCode::SUCCESS)
}

impl Content {
    /// Counts what is in an image of `bytes`, made from an ELF file.
    fn of(elf: &[u8], bytes: u64, largest: usize) -> Result<Self> {
        let file = object::File::parse(elf)?;
        let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
        let mut items = Vec::new();
        let mut nameless = Crate::default();
        let mut in_sections = 0;
        for section in file.sections().filter(is_in_image) {
            let is_code = section.kind() == SectionKind::Text;
            in_sections += section.size();
            let (mut end, mut named) = (section.address(), 0);
            for (start, size, name) in symbols(&file, &section) {
                // Names of the same place count once.
                let stop = (start + size).min(section.address() + section.size());
                let counted = stop.saturating_sub(start.max(end));
                end = end.max(stop);
                let name = rustc_demangle::try_demangle(name)
                    .map_or_else(|_| name.to_owned(), |name| format!("{name:#}"));
                let of = crate_of(&name).unwrap_or(PLAIN);
                crates
                    .entry(of.to_owned())
                    .or_default()
                    .add(is_code, counted);
                named += counted;
                items.push(Item {
                    name,
                    bytes: counted,
                });
            }
            nameless.add(is_code, section.size() - named);
        }
        crates.insert(NAMELESS.to_owned(), nameless);
        let filling = Crate {
            data: bytes.saturating_sub(in_sections),
            ..Crate::default()
        };
        crates.insert("(headers, filled pages)".to_owned(), filling);
        let mut crates: Vec<Crate> = crates
            .into_iter()
            .map(|(name, part)| Crate { name, ..part })
            .collect();
        crates.sort_by_key(|it| std::cmp::Reverse(it.code + it.data));
        items.sort_by_key(|item| std::cmp::Reverse(item.bytes));
        items.truncate(largest);
        Ok(Self {
            bytes,
            crates,
            largest: items,
        })
    }

    fn print(&self) {
        let share = |bytes: u64| format!("{:>5.1} %", 100.0 * bytes as f64 / self.bytes as f64);
        let number = |bytes: u64| format!("{bytes:>8}");
        let mut rows: Vec<[String; 5]> = self
            .crates
            .iter()
            .map(|it| {
                let bytes = it.code + it.data;
                let name = it.name.clone();
                [
                    number(bytes),
                    share(bytes),
                    number(it.code),
                    number(it.data),
                    name,
                ]
            })
            .collect();
        let [code, data] =
            [|it: &Crate| it.code, |it: &Crate| it.data].map(|of| self.crates.iter().map(of).sum());
        let whole = "the image".to_owned();
        rows.push([
            number(self.bytes),
            share(self.bytes),
            number(code),
            number(data),
            whole,
        ]);
        print_table(
            ["   BYTES", "  SHARE", "    CODE", "    DATA", "CRATE"],
            &rows,
        );
        if !self.largest.is_empty() {
            print!("\n");
            let items = self.largest.iter();
            let rows: Vec<[String; 2]> = items
                .map(|item| [number(item.bytes), item.name.clone()])
                .collect();
            print_table(["   BYTES", "THE LARGEST"], &rows);
        }
    }
}

impl Crate {
    fn add(&mut self, is_code: bool, bytes: u64) {
        *(if is_code {
            &mut self.code
        } else {
            &mut self.data
        }) += bytes;
    }
}

/// Returns whether the image has the bytes of a section.
fn is_in_image(section: &object::Section<'_, '_>) -> bool {
    image::is_in_memory(section) && section.file_range().is_some_and(|(_, size)| size > 0)
}

/// The symbols in a section by address, each with its size and name.
fn symbols<'data>(
    file: &object::File<'data>,
    section: &object::Section<'data, '_>,
) -> Vec<(u64, u64, &'data str)> {
    let mut found: Vec<(u64, u64, &str)> = file
        .symbols()
        .filter(|symbol| symbol.section_index() == Some(section.index()) && symbol.size() > 0)
        // The lowest bit of an ARMv7 function's address says that it is T32.
        .filter_map(|symbol| Some((symbol.address() & !1, symbol.size(), symbol.name().ok()?)))
        .collect();
    found.sort_unstable();
    found
}

/// The crate in a demangled name: its first path begins with it, `<a::B as c::D>::e` or `a::b`.
fn crate_of(name: &str) -> Option<&str> {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    name.match_indices("::").find_map(|(at, _)| {
        let before = &name[..at];
        let word = &before[before.trim_end_matches(is_letter).len()..];
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_the_crate_of_its_first_path() {
        for (name, expected) in [
            ("smoltcp::wire::ipv4::Repr::parse", Some("smoltcp")),
            (
                "<smoltcp::wire::Ip as core::fmt::Display>::fmt",
                Some("smoltcp"),
            ),
            ("<&str as core::fmt::Display>::fmt", Some("core")),
            ("<dyn core::any::Any>::is", Some("core")),
            ("<[u8]>::copy", None),
            ("memcpy", None),
        ] {
            assert_eq!(crate_of(name), expected, "{name}");
        }
    }

    #[test]
    fn the_parts_add_up() {
        // This program itself: there is enough in it.
        let path = std::env::current_exe().expect("this program has a path");
        let elf = std::fs::read(path).expect("it can be read");
        let bytes = elf.len() as u64;
        let content = Content::of(&elf, bytes, 3).expect("a sound program");
        let sum: u64 = content.crates.iter().map(|it| it.code + it.data).sum();
        assert_eq!(sum, bytes);
        assert_eq!(content.largest.len(), 3);
        for name in ["core", "cargo_landfall", NAMELESS] {
            let found = content
                .crates
                .iter()
                .any(|it| it.name == name && it.code > 0);
            assert!(found, "{name}");
        }
    }
}
