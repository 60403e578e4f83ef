//! What is measured beside each other: apps of ours, and Linux, one of busybox alone for what is to be small, one
//! with nginx for what is to be fast, and where there is room one with nginx as users get it.

use std::path::Path;

use anyhow::Result;

use super::load::{self, Contender};
use super::scenarios::Service;
use super::table::{Column, Table};
use super::{BULK, Effort, size};
use crate::cargo::Compilers;
use crate::commands::build::{self, Image};
use crate::image::Cpu;
use crate::lab::linux_guest::Kind;
use crate::lab::parts::Parts;
use crate::lab::platform::Architecture;
use crate::process::check_stopped;
use crate::registry::{App, Board, Workspace};
use crate::server::Server;
use crate::setup::programs;

/// The columns of what is not an app.
const BULK_COLUMN: &str = "bulk";
const MINIMAL: &str = "Linux, busybox";
const PACKAGED: &str = "Linux, nginx as packaged";
const SERVERS: &str = "Linux, nginx";

/// What makes a guest of an image of ours, or of Linux.
pub(super) trait Host {
    /// A guest that can be started.
    type Guest: Server;
    /// Whether there is memory for a third Linux.
    const ROOMY: bool;
    /// A guest of an image of ours.
    fn landfall(&self, image: &Path) -> Self::Guest;
    /// A Linux guest.
    fn linux(&self, parts: &Parts, kind: Kind) -> Self::Guest;
    /// Measures its start and what it takes at rest.
    fn start(&self, column: &mut Column<'_>, guest: &Self::Guest, effort: Effort) -> Result<()>;
}

/// The guests of a host.
pub(super) struct Systems<H: Host> {
    host: H,
    apps: Vec<(App, Image, H::Guest)>,
    bulk: H::Guest,
    minimal: H::Guest,
    packaged: Option<H::Guest>,
    servers: H::Guest,
    parts: Parts,
}

impl<H: Host> Systems<H> {
    /// Builds images and Linux guests, and installs what loads them.
    pub(super) fn get(
        host: H,
        workspace: &Workspace,
        board: &Board,
        cpu: Cpu,
        apps: Vec<App>,
    ) -> Result<Self> {
        programs::get_all(&[cpu.qemu(), programs::WRK, programs::IPERF3, programs::IP])?;
        let mut compilers = Compilers::new(workspace);
        let folder = build::images_folder(workspace, board);
        let mut built = Vec::new();
        for app in apps {
            let image = build::build(&mut compilers, &app, board, &folder)?;
            let guest = host.landfall(&image.path);
            built.push((app, image, guest));
        }
        let bulk = build::build(&mut compilers, &workspace.app(BULK)?, board, &folder)?;
        let parts = Parts::get(Architecture::of(cpu).platform(), None)?;
        Ok(Self {
            apps: built,
            bulk: host.landfall(&bulk.path),
            minimal: host.linux(&parts, Kind::Minimal),
            packaged: H::ROOMY.then(|| host.linux(&parts, Kind::Packaged)),
            servers: host.linux(&parts, Kind::Servers),
            parts,
            host,
        })
    }

    /// Measures size and start of each, and then all in turns under load.
    pub(super) fn measure(&self, workspace: &Workspace, effort: Effort) -> Result<Table> {
        let mut table = Table::new();
        for (app, image, guest) in &self.apps {
            let mut column = table.column(&app.name);
            size::measure(&mut column, workspace, app, image)?;
            self.host.start(&mut column, guest, effort)?;
            check_stopped()?;
        }
        // Its column stands beside those of the apps.
        table.column(BULK_COLUMN);
        let mut column = table.linux_column(MINIMAL);
        let bytes = self.parts.guest_bytes(Kind::Minimal)?;
        column.add("image, bytes", bytes, size::HOW);
        self.host.start(&mut column, &self.minimal, effort)?;
        let contenders = self.contenders();
        let contenders: Vec<_> = contenders.into_iter().map(|(it, _)| it).collect();
        load::measure(&mut table, &contenders, effort)?;
        Ok(table)
    }

    /// Who is loaded, in the order of the columns and of each round.
    pub(super) fn contenders(&self) -> Vec<(Contender<'_>, &H::Guest)> {
        let apps = self.apps.iter();
        let apps = apps.map(|(app, _, guest)| (app.name.as_str(), guest, &[Service::Web][..]));
        let bulk = (BULK_COLUMN, &self.bulk, &Service::OF_BULK_GUEST[..]);
        let packaged = self.packaged.iter();
        let packaged = packaged.map(|guest| (PACKAGED, guest, &[Service::Web][..]));
        // The last Linux is the one that ours are compared with.
        let linux = (SERVERS, &self.servers, &Service::ALL[..]);
        apps.chain([bulk])
            .chain(packaged)
            .chain([linux])
            .map(|(column, guest, services)| {
                let contender = Contender {
                    column: column.to_owned(),
                    is_linux: [PACKAGED, SERVERS].contains(&column),
                    server: guest,
                    services,
                };
                (contender, guest)
            })
            .collect()
    }
}
