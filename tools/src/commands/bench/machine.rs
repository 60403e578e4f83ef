//! Apps on QEMU's machine, beside Linux on the same: one of busybox alone for what is to be small, one with nginx for what
//! is to be fast.

use anyhow::Result;

use super::load::{self, Contender};
use super::scenarios::Service;
use super::subject::Subject;
use super::table::Table;
use super::{BULK, Effort, boot, instructions, size};
use crate::cargo::Compilers;
use crate::commands::build::{self, Image};
use crate::image::Cpu;
use crate::lab::linux_guest::Kind;
use crate::lab::parts::Parts;
use crate::lab::platform::Architecture;
use crate::process::check_stopped;
use crate::registry::{App, Board, Workspace};
use crate::setup::programs;

/// The columns of what is not an app.
const BULK_COLUMN: &str = "bulk";
const MINIMAL: &str = "Linux, busybox";
const SERVERS: &str = "Linux, nginx";

/// Measures `apps` and Linux.
pub(super) fn measure(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    let systems = Systems::get(workspace, board, cpu, apps)?;
    let mut table = Table::new();
    for (app, image, subject) in &systems.apps {
        let mut column = table.column(&app.name);
        size::measure(&mut column, workspace, app, image)?;
        boot::measure(&mut column, subject, effort)?;
        check_stopped()?;
    }
    // Its column stands beside those of the apps.
    table.column(BULK_COLUMN);
    let linux = Subject::linux(cpu, &systems.parts, Kind::Minimal);
    let bytes = systems.parts.guest_bytes(Kind::Minimal)?;
    let mut column = table.linux_column(MINIMAL);
    column.add("image, bytes", bytes, size::HOW);
    boot::measure(&mut column, &linux, effort)?;
    let contenders = systems.contenders();
    let contenders: Vec<_> = contenders.into_iter().map(|(it, _)| it).collect();
    load::measure(&mut table, &contenders, effort)?;
    Ok(table)
}

/// Counts the instructions of `apps` and Linux for a request, a megabyte and so on.
pub(super) fn count(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    let systems = Systems::get(workspace, board, cpu, apps)?;
    let mut table = Table::new();
    instructions::measure(&mut table, &systems.contenders(), effort)?;
    Ok(table)
}

/// What is measured.
struct Systems {
    apps: Vec<(App, Image, Subject)>,
    bulk: Subject,
    linux: Subject,
    parts: Parts,
}

impl Systems {
    /// Builds images and Linux guests, and installs what loads them.
    fn get(workspace: &Workspace, board: &Board, cpu: Cpu, apps: Vec<App>) -> Result<Self> {
        programs::get_all(&[cpu.qemu(), programs::WRK, programs::IPERF3, programs::IP])?;
        let mut compilers = Compilers::new(workspace);
        let folder = build::images_folder(workspace, board);
        let mut built = Vec::new();
        for app in apps {
            let image = build::build(&mut compilers, &app, board, &folder)?;
            let subject = Subject::landfall(cpu, &image.path);
            built.push((app, image, subject));
        }
        let bulk = build::build(&mut compilers, &workspace.app(BULK)?, board, &folder)?;
        let parts = Parts::get(Architecture::of(cpu).platform(), None)?;
        Ok(Self {
            apps: built,
            bulk: Subject::landfall(cpu, &bulk.path),
            linux: Subject::linux(cpu, &parts, Kind::Servers),
            parts,
        })
    }

    /// Who is loaded, in the order of the columns and of each round.
    fn contenders(&self) -> Vec<(Contender<'_>, &Subject)> {
        let apps = self.apps.iter();
        let apps = apps.map(|(app, _, subject)| (app.name.as_str(), subject, &[Service::Web][..]));
        let bulk = (BULK_COLUMN, &self.bulk, &Service::OF_BULK_GUEST[..]);
        let linux = (SERVERS, &self.linux, &Service::ALL[..]);
        apps.chain([bulk, linux])
            .map(|(column, subject, services)| {
                let contender = Contender {
                    column: column.to_owned(),
                    is_linux: column == SERVERS,
                    server: subject,
                    services,
                };
                (contender, subject)
            })
            .collect()
    }
}
