//! Cards in QEMU's Orange Pi PC: what is on one, the time from power-on to the first answer, load.
//!
//! Time is the guest's: an instruction takes 8 ns (`-icount shift=3`), whatever this machine does. With fewer U-Boot,
//! which waits for devices that are not there, would take minutes. No Linux stands beside it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::boot::STATIC_ADDRESS;
use super::figure::Figure;
use super::load::{self, Contender};
use super::scenarios::Service;
use super::table::{Column, Table};
use super::{Effort, size};
use crate::card::models::EMULATED;
use crate::card::{Card, u_boot};
use crate::cargo::Compilers;
use crate::commands::build;
use crate::commands::run::{local, reserve};
use crate::console::Console;
use crate::guest::Guest;
use crate::http;
use crate::network::{GUEST, GUEST_ARGUMENTS, Namespace, TAP};
use crate::process::{self, supervised};
use crate::qemu::{CardMachine, GUEST_PORT, Network, Start};
use crate::qmp::Qmp;
use crate::registry::{App, Board, Workspace};
use crate::server::Server;
use crate::setup::programs;

/// The first words of an image, when U-Boot has handed over.
const HANDED_OVER: &str = "boot: Landfall";

/// How long a start may take, of which U-Boot waits most.
const PATIENCE: Duration = Duration::from_secs(120);

/// The hardware address that U-Boot makes of the emulated chip's number.
const MAC: &str = "02:81:4a:58:bd:80";

const HOW_PAYLOAD: &str = "U-Boot and all files";
const HOW_TIME: &str = "the guest's time awake, `ip=`; 8 ns an instruction (`-icount shift=3`)";

/// How many times an instruction's nanosecond is doubled.
const SHIFT: u32 = 3;

/// Measures `apps`.
pub(super) fn measure(
    workspace: &Workspace,
    board: &Board,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    programs::get_all(&[programs::QEMU_32, programs::WRK, programs::IP])?;
    let u_boot = u_boot::sunxi(EMULATED.u_boot, None)?;
    let mut compilers = Compilers::new(workspace);
    let folder = build::images_folder(workspace, board);
    let mut table = Table::new();
    for app in apps {
        let image = build::build(&mut compilers, &app, board, &folder)?;
        let mut column = table.column(&app.name);
        size::measure(&mut column, workspace, &app, &image)?;
        let bytes = std::fs::read(&image.path)?;
        let card = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            Card::new(u_boot.clone(), &app.name, bytes.clone(), &arguments)
        };
        let payload = card(&[]).payload() as u64;
        column.add("card's payload, bytes", payload, HOW_PAYLOAD);
        let place = tempfile::tempdir()?;
        let path = place.path().join("sd.img");
        card(&STATIC_ADDRESS).write(&path)?;
        boot(&mut column, &path, effort)?;
        card(&GUEST_ARGUMENTS).write(&path)?;
        let contender = Contender {
            column: app.name,
            is_linux: false,
            server: &Machine(path),
            services: &[Service::Web],
        };
        load::measure(&mut table, &[contender], effort)?;
    }
    Ok(table)
}

/// A machine with a card.
struct Machine(PathBuf);

impl Server for Machine {
    fn command(&self, namespace: &Namespace) -> Result<Command> {
        namespace.know(GUEST, MAC)?;
        let machine = CardMachine {
            start: Start::Card(self.0.clone()),
            network: Network::Tap {
                name: TAP.to_owned(),
            },
            trace: None,
        };
        let mut command = namespace.command(programs::QEMU_32.get()?)?;
        command.args(machine.words());
        Ok(command)
    }

    fn host(&self) -> &str {
        GUEST
    }

    fn deadline(&self) -> Duration {
        PATIENCE
    }
}

/// Points of a start, in instructions.
struct Times {
    first_line: u64,
    handed_over: u64,
    answered: u64,
}

fn boot(column: &mut Column<'_>, card: &Path, effort: Effort) -> Result<()> {
    column.announce(&format!("starting it {} times", effort.starts));
    let times = (0..effort.starts).map(|_| start(card));
    let times = times.collect::<Result<Vec<Times>>>()?;
    let milliseconds = |of: fn(&Times) -> u64| -> Figure {
        let instructions = times.iter().map(of);
        let times = instructions.map(|instructions| (instructions << SHIFT) / 1_000_000);
        times.collect::<Vec<u64>>().into()
    };
    column.add(
        "from U-Boot's first line to the first answer, ms",
        milliseconds(|it| it.answered - it.first_line),
        HOW_TIME,
    );
    column.add(
        "of it after U-Boot, ms",
        milliseconds(|it| it.answered - it.handed_over),
        HOW_TIME,
    );
    Ok(())
}

fn start(card: &Path) -> Result<Times> {
    let port = reserve(Ipv4Addr::LOCALHOST, 0, "--port PORT")?;
    let machine = CardMachine {
        start: Start::Card(card.to_path_buf()),
        network: Network::User {
            host_port: port,
            guest_port: GUEST_PORT,
        },
        trace: None,
    };
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("qmp");
    let mut command = supervised(programs::QEMU_32.get()?);
    command.args(machine.words());
    command.args(["-icount", &format!("shift={SHIFT}")]);
    command.args(Qmp::words(&socket));
    let mut guest = Guest::start(&mut command, Console::default(), true)?;
    let mut qmp = Qmp::connect(&socket)?;
    let began = Instant::now();
    let (mut first_line, mut handed_over) = (None, None);
    while began.elapsed() < PATIENCE {
        process::check_stopped()?;
        guest.pump(Duration::from_millis(1));
        if let Some(status) = guest.ended()? {
            guest.verdict(status)?;
            bail!("the guest ended");
        }
        if first_line.is_none() && !guest.console.is_silent() {
            first_line = Some(qmp.instructions()?);
        }
        if handed_over.is_none() && guest.console.recent().any(|it| it.starts_with(HANDED_OVER)) {
            handed_over = Some(qmp.instructions()?);
        }
        if guest.console.url().is_some()
            && http::get(local(port), PATIENCE).is_ok_and(|status| status.is_ok())
        {
            return Ok(Times {
                first_line: first_line.context("it has said something")?,
                handed_over: handed_over.context("it has begun")?,
                answered: qmp.instructions()?,
            });
        }
    }
    bail!("no answer; its last line: {:?}", guest.console.last_line())
}
