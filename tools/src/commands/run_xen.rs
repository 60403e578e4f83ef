//! `cargo landfall run` on boards that Xen starts: a guest of the Xen lab, created, heard and reached.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Error, Result, bail, ensure};

use super::build;
use super::run::{LabOptions, Options, TAP, local};
use crate::arguments::{self, Next};
use crate::cargo::Compilers;
use crate::console::Console;
use crate::guest::{Answer, Guest, GuestStopped};
use crate::image::Cpu;
use crate::lab::guests::Configuration;
use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::stay::Stay;
use crate::lab::tap::{self, Joined};
use crate::lab::trace::Trace;
use crate::lab::{Lab, boot};
use crate::registry::{App, Board, Workspace};
use crate::xl::{Action, Bridge, Config};

/// The options of machines that have a meaning here.
const OPTIONS: [&str; 4] = ["--memory", "--gic", "--defmt", TAP];

/// The bridge whose guests can be reached from this machine.
const REACHED: &str = "xenbr0";

/// How a domain ended, as `xl` and `dom0/follow` number it, in words.
const ENDS: [(u8, &str); 4] = [
    (1, "it asked for a reboot"),
    (3, "it crashed"),
    (4, "Xen's watchdog ended it"),
    (100, "it was destroyed from outside"),
];

/// The exit code of a guest that crashed and did not say with which code.
const FAILED: u8 = 1;

/// Builds an app, creates a guest of it and shows its console until it ends.
pub(super) fn run(
    workspace: &Workspace,
    app: &App,
    board: &Board,
    options: &Options,
    lab: &LabOptions,
) -> Result<ExitCode> {
    if let Some(name) = options.machine.given().find(|name| !OPTIONS.contains(name)) {
        bail!("{name} is for board virt: QEMU starts that one itself");
    }
    let tap = options.machine.tap.as_deref();
    let bridge = bridge(lab.bridge.as_ref(), tap)?;
    let is_reached = bridge.to_string() == REACHED;
    let host = host(board, lab.host)?;
    let place = Place::new(host)?;
    let port = free_port(&place, options)?;
    let folder = build::images_folder(workspace, board);
    let mut compilers = Compilers::new(workspace).with_defmt(options.machine.defmt);
    let image = build::build(&mut compilers, app, board, &folder)?;
    if arguments::check(&image.path, &options.arguments)? == Next::End {
        return Ok(ExitCode::SUCCESS);
    }
    let config = config(
        &board.domain_name(app),
        &image.path.to_string_lossy(),
        options,
        bridge,
    )?;
    let configuration = Configuration::parse(&config.text("run.xl"), &folder)?;
    let session = Session::start(place, host, options, &configuration, port)?;
    let console = Console::of(&image.elf, workspace.root());
    let mut command = session.console(is_reached);
    let mut guest = Guest::start(&mut command, console, false)?;
    let answer = if is_reached {
        Answer::At(local(port))
    } else {
        Answer::OnConsole
    };
    let result = guest.serve(answer, options.deadline(), |url| println!("open {url}"));
    if guest.console.is_silent() && result.is_err() {
        session.show_xens_words();
    }
    result.map_err(|error| explained(error, &guest.console))?;
    eprintln!("the guest ended");
    Ok(ExitCode::SUCCESS)
}

/// The bridge for the guest: the one that the user wants, or that of the tap.
fn bridge(wanted: Option<&Bridge>, tap: Option<&str>) -> Result<Bridge> {
    let usual = if tap.is_some() { tap::BRIDGE } else { REACHED };
    let bridge = wanted.map_or(usual.to_owned(), Bridge::to_string);
    ensure!(
        tap.is_none() || bridge == tap::BRIDGE,
        "a tap is joined to bridge {}: leave --bridge out, or {TAP}",
        tap::BRIDGE
    );
    Ok(bridge.parse()?)
}

/// The architecture of the lab: what the user wants, or the host that the board is for.
fn host(board: &Board, wanted: Option<Architecture>) -> Result<Architecture> {
    let cpu = board.cpu().unwrap_or(Cpu::Aarch64);
    let Some(host) = wanted else {
        return Ok(Architecture::of(cpu));
    };
    let platform = host.platform();
    ensure!(
        platform.guests.contains(&cpu),
        "board {} is for {cpu}, and a Xen host of {} does not run such guests: leave --host out",
        board.name,
        platform.debian
    );
    Ok(host)
}

/// The port of this machine. One that a lab forwards can be had: the forward is replaced.
fn free_port(place: &Place, options: &Options) -> Result<u16> {
    let forwards = Lab::find(place)
        .and_then(|lab| lab.forwards().ok())
        .unwrap_or_default();
    match forwards.iter().find(|(port, _)| *port == options.port()) {
        Some((port, _)) => Ok(*port),
        None => options.free_port(false),
    }
}

/// The guest's configuration. It is not made anew when it ends: its end is what this command shows.
fn config(name: &str, image: &str, options: &Options, bridge: Bridge) -> Result<Config> {
    let mut config = Config::new(name.parse()?, image.parse()?);
    config.memory = options.machine.memory.unwrap_or(config.memory);
    config.on_crash = Action::Destroy;
    config.on_watchdog = Action::Destroy;
    for argument in &options.arguments {
        config.arguments.push(argument.parse()?);
    }
    for vif in &mut config.vifs {
        vif.bridge = Some(bridge.clone());
    }
    Ok(config)
}

/// A guest in a lab. Dropped, the guest is gone, and the lab too if it was brought up for it.
struct Session {
    _trace: Option<Trace>,
    _tap: Option<Joined>,
    stay: Stay,
    guest: String,
    port: u16,
}

impl Session {
    fn start(
        place: Place,
        host: Architecture,
        options: &Options,
        configuration: &Configuration,
        port: u16,
    ) -> Result<Self> {
        let usual = boot::Options::usual(host);
        let wanted = boot::Options {
            gic: options.machine.gic.unwrap_or(usual.gic),
            ..usual
        };
        let stay = Stay::begin(place, &wanted)?;
        let tap = options.machine.tap.as_ref();
        let mut session = Self {
            _trace: None,
            _tap: tap.map(|tap| stay.lab().join(tap)).transpose()?,
            stay,
            guest: configuration.name.clone(),
            port,
        };
        eprintln!("xl create {}", session.guest);
        session.create(configuration, options.trace.as_deref())?;
        Ok(session)
    }

    /// Creates the guest. Where its frames are kept, that begins before its first.
    fn create(&mut self, configuration: &Configuration, trace: Option<&Path>) -> Result<()> {
        let lab = self.stay.lab();
        let Some(file) = trace else {
            return lab.create(configuration);
        };
        lab.create_paused(configuration)?;
        self._trace = Some(lab.trace(&self.guest, file)?);
        lab.unpause(&self.guest)
    }

    /// A command that shows the guest's console and ends with the guest.
    fn console(&self, is_reached: bool) -> Command {
        let mut command = self.stay.lab().console(&self.guest);
        if is_reached {
            command.args(["--port", &self.port.to_string()]);
        }
        command
    }

    /// Shows what Xen has to say about guests: the last hope where a guest is silent.
    fn show_xens_words(&self) {
        if let Ok(words) = self
            .stay
            .lab()
            .agent()
            .output("xl dmesg | grep '(XEN) d[1-9]' | tail -n 5")
        {
            eprint!("{words}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The end of the lab would be the guest's, too.
        if !self.stay.is_ours() {
            self.stay.lab().destroy(&self.guest);
            let _gone = self.stay.lab().unforward(self.port);
        }
    }
}

/// Puts Xen's reason for a guest's end into words, and picks the exit code that fits.
fn explained(error: Error, console: &Console) -> Error {
    let Some(stopped) = error.downcast_ref::<GuestStopped>() else {
        return error;
    };
    let Some((number, words)) = ENDS.iter().find(|(number, _)| *number == stopped.code) else {
        return error;
    };
    let code = if console.death().is_some() {
        crate::guest::PANICKED
    } else {
        FAILED
    };
    let reason = stopped
        .reason
        .replacen(&format!("exit status {number}"), words, 1);
    GuestStopped { reason, code }.into()
}
