//! What each part of the runtime adds to an image that has none: bytes of the image, of memory that is zeroed at boot,
//! and of the heap. What an app does not call of a part is not in its image, so an app may pay more than this.

use std::fmt::{Display, Formatter};

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionKind};

use super::boot;
use super::figure::grouped;
use super::subject::Subject;
use super::table::Table;
use crate::cargo::Compilers;
use crate::commands::build::{self, Image};
use crate::image::is_in_memory;
use crate::process::check_stopped;
use crate::registry::{App, Board, Workspace};

/// The test guest that says how much of its heap is in use.
const HEAP: &str = "heap";

/// Boot arguments with which a part is at work.
const ARGUMENTS: [(&str, &str); 2] = [("sntp", "ntp=10.0.2.2"), ("syslog", "syslog=10.0.2.2")];

/// Builds the app without any part but its own, and with each; where QEMU starts the images, a guest says what each
/// takes of its heap.
pub(super) fn measure(workspace: &Workspace, board: &Board, app: &App) -> Result<Table> {
    board.machine()?;
    let mut table = Table::new();
    let mut column = table.column(&app.name);
    each(workspace, |name, parts, alone| {
        let bytes = Bytes::of(&image(workspace, board, app, parts)?)?;
        let how = "of the image, pages not filled up; of zeroed memory; heap: in use at rest, by guest `heap`";
        column.add(name, Change(&bytes, alone).to_string(), how);
        Ok(bytes)
    })?;
    if board.loader.is_some() {
        return Ok(table);
    }
    let guest = workspace.app(HEAP)?;
    let mut column = table.column("heap");
    each(workspace, |name, parts, alone| {
        let bytes = heap(&image(workspace, board, &guest, parts)?, parts)?;
        column.add(name, Change(&bytes, alone).to_string(), "");
        Ok(bytes)
    })?;
    Ok(table)
}

/// Measures without any part, with each, and with all: each time with its name, the parts, and what there is without.
fn each<T>(
    workspace: &Workspace,
    mut measure: impl FnMut(&str, &[String], Option<&T>) -> Result<T>,
) -> Result<()> {
    let parts = workspace.parts();
    let alone = measure("alone", &[], None)?;
    for part in &parts {
        measure(part, std::slice::from_ref(part), Some(&alone))?;
        check_stopped()?;
    }
    measure("all of them", &parts, Some(&alone)).map(drop)
}

/// The bytes of the heap that a guest says are in use, once it has come to rest.
fn heap(image: &Image, parts: &[String]) -> Result<Bytes> {
    let cpu = image.cpu.context("an image is for a CPU")?;
    let arguments = ARGUMENTS
        .iter()
        .filter(|(part, _)| parts.iter().any(|it| it == part))
        .map(|(_, argument)| *argument);
    let subject = Subject::landfall(cpu, &image.path).with_arguments(arguments);
    let text = boot::text_at_rest(&subject)?;
    let bytes = text.trim().parse();
    let bytes = bytes.with_context(|| format!("the guest says {text:?}"))?;
    Ok(Bytes(vec![bytes]))
}

fn image(workspace: &Workspace, board: &Board, app: &App, parts: &[String]) -> Result<Image> {
    let folder = workspace.target_directory().join("landfall/parts");
    let mut compilers = Compilers::new(workspace).with_parts(parts.to_vec());
    build::build(&mut compilers, app, board, &folder)
}

/// Bytes of one kind or of several.
struct Bytes(Vec<u64>);

/// Bytes, and those without the part that is measured.
struct Change<'a>(&'a Bytes, Option<&'a Bytes>);

impl Bytes {
    /// Those of an image, and those that are zeroed.
    fn of(image: &Image) -> Result<Self> {
        let elf = std::fs::read(&image.elf)
            .with_context(|| format!("cannot read {}", image.elf.display()))?;
        let file = object::File::parse(&*elf)?;
        let (mut held, mut zeroed) = (0, 0);
        for section in file.sections().filter(is_in_memory) {
            match section.kind() {
                SectionKind::UninitializedData => zeroed += section.size(),
                _ => held += section.size(),
            }
        }
        Ok(Self(vec![held, zeroed]))
    }
}

impl Display for Change<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        for (index, &bytes) in self.0.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" / ")?;
            }
            let Some(without) = self.1.map(|alone| alone.0[index]) else {
                formatter.write_str(&grouped(bytes))?;
                continue;
            };
            let sign = if bytes < without { '-' } else { '+' };
            write!(formatter, "{sign}{}", grouped(bytes.abs_diff(without)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_part_adds_has_a_sign() {
        let (alone, with) = (Bytes(vec![1000, 20]), Bytes(vec![3500, 5]));
        assert_eq!(Change(&alone, None).to_string(), "1,000 / 20");
        assert_eq!(Change(&with, Some(&alone)).to_string(), "+2,500 / -15");
    }
}
