//! Apps on QEMU's machine, beside Linux on the same.

use std::path::Path;

use anyhow::Result;

use super::subject::Subject;
use super::systems::{Host, Systems};
use super::table::{Column, Table};
use super::{Effort, boot, instructions};
use crate::image::Cpu;
use crate::lab::linux_guest::Kind;
use crate::lab::parts::Parts;
use crate::registry::{App, Board, Workspace};

/// QEMU's machine with a CPU.
struct Machine(Cpu);

impl Host for Machine {
    type Guest = Subject;
    const ROOMY: bool = true;

    fn landfall(&self, image: &Path) -> Subject {
        Subject::landfall(self.0, image)
    }

    fn linux(&self, parts: &Parts, kind: Kind) -> Subject {
        Subject::linux(self.0, parts, kind)
    }

    fn start(&self, column: &mut Column<'_>, subject: &Subject, effort: Effort) -> Result<()> {
        boot::measure(column, subject, effort)
    }
}

/// Measures `apps` and Linux.
pub(super) fn measure(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    Systems::get(Machine(cpu), workspace, board, cpu, apps)?.measure(workspace, effort)
}

/// Counts the instructions of `apps` and Linux for a request, a megabyte and so on.
pub(super) fn count(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    let systems = Systems::get(Machine(cpu), workspace, board, cpu, apps)?;
    let mut table = Table::new();
    instructions::measure(&mut table, &systems.contenders(), effort)?;
    Ok(table)
}
