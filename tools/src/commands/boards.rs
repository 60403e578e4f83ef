//! `cargo landfall boards`: what an app can be built for.

use std::process::ExitCode;

use anyhow::Result;

use super::apps::print_table;
use crate::registry::Workspace;

/// Prints the boards with their targets.
pub(crate) fn run() -> Result<ExitCode> {
    let boards = Workspace::load()?.boards()?;
    let rows: Vec<[String; 3]> = boards
        .into_iter()
        .map(|board| {
            [
                board.name,
                board.target.unwrap_or_else(|| "this machine".to_owned()),
                board.summary,
            ]
        })
        .collect();
    print_table(["BOARD", "TARGET", "SUMMARY"], &rows);
    Ok(ExitCode::SUCCESS)
}
