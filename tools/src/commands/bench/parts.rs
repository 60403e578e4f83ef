//! What each part of the runtime adds to an image that has none: bytes of the image and of memory that is zeroed
//! at boot. What an app does not call of a part is not in its image, so an app may pay more than this.

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, SectionKind};

use super::table::{Table, grouped};
use crate::cargo::Compilers;
use crate::commands::build::{self, Image};
use crate::process::check_stopped;
use crate::registry::{App, Board, Workspace};

/// Builds the app without any part but its own, and with each.
pub(super) fn measure(workspace: &Workspace, board: &Board, app: &App) -> Result<Table> {
    ensure!(
        board.target.is_some(),
        "board {} makes no images: add --board virt",
        board.name
    );
    let mut table = Table::new();
    let mut column = table.column(&app.name);
    let alone = Bytes::of(&image(workspace, board, app, &[])?)?;
    let how = "of the image, pages not filled up; of zeroed memory besides";
    column.add("alone", alone.to_string(), how);
    for part in workspace.parts() {
        let with = Bytes::of(&image(workspace, board, app, std::slice::from_ref(&part))?)?;
        column.add(&part, with.beyond(&alone), "more than alone");
        check_stopped()?;
    }
    let all = Bytes::of(&image(workspace, board, app, &workspace.parts())?)?;
    column.add("all of them", all.beyond(&alone), "more than alone");
    Ok(table)
}

fn image(workspace: &Workspace, board: &Board, app: &App, parts: &[String]) -> Result<Image> {
    let folder = workspace.target_directory().join("landfall/parts");
    let mut compilers = Compilers::new(workspace).with_parts(parts.to_vec());
    build::build(&mut compilers, app, board, &folder)
}

/// Bytes of an image.
struct Bytes {
    image: u64,
    zeroed: u64,
}

impl Bytes {
    fn of(image: &Image) -> Result<Self> {
        let elf = std::fs::read(&image.elf)
            .with_context(|| format!("cannot read {}", image.elf.display()))?;
        let file = object::File::parse(&*elf)?;
        let mut bytes = Self {
            image: 0,
            zeroed: 0,
        };
        for section in file.sections() {
            match section.kind() {
                SectionKind::UninitializedData => bytes.zeroed += section.size(),
                SectionKind::Text
                | SectionKind::Data
                | SectionKind::ReadOnlyData
                | SectionKind::ReadOnlyString => bytes.image += section.size(),
                _ => {}
            }
        }
        Ok(bytes)
    }

    fn beyond(&self, alone: &Self) -> String {
        let more = |with: u64, without: u64| match with.checked_sub(without) {
            Some(more) => format!("+{}", grouped(more)),
            None => format!("-{}", grouped(without - with)),
        };
        let (image, zeroed) = (
            more(self.image, alone.image),
            more(self.zeroed, alone.zeroed),
        );
        format!("{image} / {zeroed}")
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} / {}",
            grouped(self.image),
            grouped(self.zeroed)
        )
    }
}
