//! The same apps as processes of this machine: on its sockets, and on a tap with an IP stack of their own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::load::{self, Contender};
use super::scenarios::Service;
use super::table::Table;
use super::{BULK, Effort};
use crate::cargo::Compilers;
use crate::commands::build;
use crate::network::{GUEST, GUEST_ARGUMENTS, GUEST_MAC, Namespace, TAP};
use crate::registry::{App, Board, Workspace};
use crate::server::Server;
use crate::setup::programs;

/// How a process is connected.
#[derive(Clone, Copy, Debug)]
enum Way {
    Sockets,
    Tap,
}

impl Way {
    const ALL: [Way; 2] = [Way::Sockets, Way::Tap];

    /// What a column's name ends with.
    fn name(self) -> &'static str {
        match self {
            Way::Sockets => "on sockets (loopback)",
            Way::Tap => "on a tap",
        }
    }
}

/// An app's executable in a namespace.
struct Process {
    path: PathBuf,
    way: Way,
}

impl Server for Process {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        let mut command = namespace.command(&self.path)?;
        if let Way::Tap = self.way {
            command.args([format!("tap={TAP}"), format!("mac={GUEST_MAC}")]);
            command.args(GUEST_ARGUMENTS);
        }
        Ok(command)
    }

    fn host(&self) -> &str {
        match self.way {
            Way::Sockets => "127.0.0.1",
            Way::Tap => GUEST,
        }
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(15)
    }
}

/// Measures `apps` in both ways.
pub(super) fn measure(
    workspace: &Workspace,
    board: &Board,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    programs::get_all(&[programs::WRK, programs::IPERF3, programs::IP])?;
    let mut compilers = Compilers::new(workspace);
    let folder = build::images_folder(workspace, board);
    let mut table = Table::new();
    let mut build = |app: &App| build::build(&mut compilers, app, board, &folder);
    let mut processes = Vec::new();
    let bulk = workspace.app(BULK)?;
    for app in apps {
        let path = build(&app)?.path;
        for way in Way::ALL {
            let column = format!("{} {}", app.name, way.name());
            let path = path.clone();
            processes.push((column, Process { path, way }, &[Service::Web][..]));
        }
    }
    let path = build(&bulk)?.path;
    for way in Way::ALL {
        let column = format!("bulk {}", way.name());
        let path = path.clone();
        processes.push((column, Process { path, way }, &Service::OF_BULK_GUEST[..]));
    }
    let contenders = processes
        .iter()
        .map(|(column, server, services)| Contender {
            column: column.clone(),
            is_linux: false,
            server,
            services,
        });
    load::measure(&mut table, &contenders.collect::<Vec<_>>(), effort)?;
    Ok(table)
}
