//! `cargo landfall apps`: what can be built and run.

use std::process::ExitCode;

use anyhow::Result;

use crate::registry::Workspace;

/// Prints the apps with their packages.
pub(crate) fn run() -> Result<ExitCode> {
    let apps = Workspace::load()?.apps()?;
    let rows: Vec<[String; 3]> = apps
        .into_iter()
        .map(|app| [app.name, app.package, app.summary])
        .collect();
    print_table(["APP", "PACKAGE", "SUMMARY"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Prints rows below a heading, each column as wide as its widest word.
pub(crate) fn print_table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) {
    let heading = heading.map(str::to_owned);
    let all: Vec<&[String; COLUMNS]> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for row in all {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}
