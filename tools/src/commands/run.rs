//! `cargo landfall run`: builds an app, starts it on a board and says where it can be opened.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::build::{self, Image};
use super::{run_card, run_xen};
use crate::arguments::{self, Next};
use crate::capture::Capture;
use crate::card::models::Model;
use crate::cargo::Compilers;
use crate::console::Console;
use crate::guest::{Answer, Guest};
use crate::image::Cpu;
use crate::lab::platform::Architecture;
use crate::process::{self, supervised};
use crate::qemu::{GUEST_PORT, Machine, MemorySize, Network};
use crate::registry::{App, Board, Loader, Workspace};
use crate::xl::Bridge;

/// Builds an app, starts it and prints its URL when it answers
///
/// On board `unix` the app is a process of this machine. On `virt` and `virt-armv7` it is a bare-metal image in
/// QEMU, whose console you see; addresses in a backtrace are shown with function, file and line. On `xenvm` and
/// `cubieboard2` it is a guest of the Xen lab (`cargo landfall lab xen`), which is brought up where it is not, and
/// taken down again. On `sunxi` QEMU's Orange Pi PC starts it from an SD card, through U-Boot, or (--machine cubieboard)
/// QEMU's Cubieboard starts it without a card, for QEMU 7.2 does not start this machine from one.
/// Ctrl-C ends it. When the guest fails, so does this command, with the guest's exit code and its last words.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall run 2048                                  a process of this machine\n  \
    cargo landfall run 2048 --board virt                     bare metal, in QEMU\n  \
    cargo landfall run 2048 --board virt-armv7               the same with a 32-bit CPU\n  \
    cargo landfall run 2048 --board xenvm                    a guest of a real Xen, in QEMU\n  \
    cargo landfall run 2048 --board xenvm --tap tap0         the same, on a network of this machine\n  \
    cargo landfall run 2048 --board cubieboard2              the same on a 32-bit Xen, on a Cortex-A7\n  \
    cargo landfall run 2048 --board cubieboard2 --host arm64   the 32-bit guest on a 64-bit Xen\n  \
    cargo landfall run 2048 --board cubieboard2 --card       all that is on its SD card, from U-Boot on\n  \
    cargo landfall run 2048 --board sunxi                    an Allwinner H3, from an SD card\n  \
    cargo landfall run 2048 --board sunxi --machine cubieboard   an Allwinner A10\n  \
    cargo landfall run hello --board virt --port 0           on any free port\n  \
    cargo landfall run hello --board virt --memory 8M -- log=info,net=debug\n  \
    cargo landfall run hello --board virt --tap tap0 -- ip=10.0.0.2/24 gateway=10.0.0.1\n  \
    cargo landfall run hello --tap tap0                      a process with an IP stack of its own\n  \
    cargo landfall run 2048 --board virt -- --help           the app's boot arguments")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    pub(super) app: String,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "unix")]
    pub(super) board: String,
    #[command(flatten)]
    pub(super) options: Options,
    #[command(flatten)]
    pub(super) lab: LabOptions,
    #[command(flatten)]
    pub(super) words: Words,
}

/// What the guest is told.
#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// Boot arguments for the guest, such as log=debug; --help lists those that there are
    #[arg(last = true, value_name = "KEY=VALUE", value_parser = boot_word)]
    words: Vec<String>,
}

/// How an image is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The port of this machine at which the app is reached; 0 takes any free one [default: 8080]
    #[arg(long)]
    port: Option<u16>,
    /// A boot argument, where the words behind -- are for another program
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = boot_argument)]
    pub(super) arguments: Vec<String>,
    /// The deadline for the first answer; 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    pub(super) machine: MachineOptions,
    /// The file for the frames on the guest's network, where the command keeps them.
    #[arg(skip)]
    pub(super) trace: Option<PathBuf>,
}

/// What only the Xen lab has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options for guests of the Xen lab")]
pub(super) struct LabOptions {
    /// The lab's bridge for the guest: xenbr0, whose ports are forwarded, xenbr1 or xenbr2
    /// [default: xenbr0; with --tap: xenbr2]
    #[arg(long, value_name = "NAME")]
    pub(super) bridge: Option<Bridge>,
    /// The lab's host [default: arm64; cubieboard2: armhf, a 32-bit Xen on a Cortex-A7]
    #[arg(long, value_name = "ARCH")]
    pub(super) host: Option<Architecture>,
    /// Instead of the lab, start the SD card that `cargo landfall image` writes, in QEMU: U-Boot, Xen, a dom0 and the
    /// guest. Without FILE a card is made for this; one that is named keeps its logs
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true
    )]
    pub(super) card: Option<Option<PathBuf>>,
}

impl LabOptions {
    /// The first option that was given, besides that for a card.
    fn given(&self) -> Option<&'static str> {
        given([
            (self.bridge.is_some(), "--bridge"),
            (self.host.is_some(), "--host"),
        ])
        .next()
    }
}

/// The names of those options that were given.
pub(crate) fn given<const COUNT: usize>(
    options: [(bool, &'static str); COUNT],
) -> impl Iterator<Item = &'static str> {
    options
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, name)| name)
}

/// The option of machines that a process has, too.
pub(super) const TAP: &str = "--tap";

/// The option of board `sunxi` alone.
pub(super) const MACHINE: &str = "--machine";

/// What only a machine has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options for boards that are machines")]
pub(super) struct MachineOptions {
    /// The guest's memory, such as 6M or 2G [default: 64M; on Xen: 32M]
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<MemorySize>,
    /// Connect the guest to this tap device instead of forwarding a port. On board unix the process then has an IP
    /// stack of its own; a guest of the Xen lab is on bridge xenbr2, which is joined to the tap
    #[arg(long, value_name = "NAME")]
    pub(super) tap: Option<String>,
    /// The version of the interrupt controller [default: 3; virt-armv7: 2]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(super) gic: Option<u8>,
    /// The CPU, by QEMU's name [default: cortex-a57; virt-armv7: cortex-a7]
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// Enter the guest at EL2 (HYP mode), where hypervisors run
    #[arg(long)]
    virtualization: bool,
    /// Of board sunxi, the machine: orangepi-plus or cubieboard [default: orangepi-plus]
    #[arg(long = "machine", value_name = "NAME")]
    pub(super) model: Option<Model>,
    /// Let the image log by defmt: without the texts of lines, which are read here from its ELF file
    #[arg(long)]
    pub(super) defmt: bool,
}

impl MachineOptions {
    /// The options that were given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        given([
            (self.memory.is_some(), "--memory"),
            (self.tap.is_some(), TAP),
            (self.gic.is_some(), "--gic"),
            (self.cpu.is_some(), "--cpu"),
            (self.virtualization, "--virtualization"),
            (self.model.is_some(), MACHINE),
            (self.defmt, "--defmt"),
        ])
    }
}

/// Builds and starts.
pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let words = std::mem::take(&mut arguments.words.words);
    arguments.options.add_arguments(words);
    let workspace = Workspace::load()?;
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    let options = &arguments.options;
    if let Some(card) = &arguments.lab.card {
        if let Some(name) = arguments.lab.given() {
            bail!("{name} is for guests of the Xen lab, and the card has a Xen of its own");
        }
        return run_card::run_xen(&workspace, &app, &board, options, card.as_deref());
    }
    if board.loader == Some(Loader::Xl) {
        return run_xen::run(&workspace, &app, &board, options, &arguments.lab);
    }
    if let Some(name) = arguments.lab.given() {
        bail!("{name} is for guests of the Xen lab: add --board xenvm");
    }
    if board.loader == Some(Loader::Card) {
        return run_card::run(&workspace, &app, &board, options);
    }
    let (image, port) = build_to_run(&workspace, &app, &board, options)?;
    if board.target.is_none() {
        options.run_process(&image, port)
    } else {
        options.run_machine(&image, port, workspace.root())
    }
}

/// Builds an image that is started on this machine; returns it with the port at which it will be reached.
pub(super) fn build_to_run(
    workspace: &Workspace,
    app: &App,
    board: &Board,
    options: &Options,
) -> Result<(Image, u16)> {
    // Before the build: a mistake in the options should not cost its time. Whoever asks for help needs no port.
    options.refuse_model()?;
    let port = match options.asks_for_help() {
        true => GUEST_PORT,
        false => options.free_port(board.target.is_none())?,
    };
    match (
        board.cpu(),
        options.machine.given().find(|name| *name != TAP),
    ) {
        (None, Some(name)) => {
            bail!("{name} is for machines, and board unix is a process: add --board virt")
        }
        (None, None) => {}
        (Some(cpu), _) => drop(cpu.qemu().get()?),
    }
    let folder = build::images_folder(workspace, board);
    let mut compilers = Compilers::new(workspace).with_defmt(options.machine.defmt);
    let image = build::build(&mut compilers, app, board, &folder)?;
    Ok((image, port))
}

impl Options {
    /// Adds boot arguments to those that were given as options.
    pub(crate) fn add_arguments(&mut self, arguments: Vec<String>) {
        self.arguments.extend(arguments);
    }

    /// Refuses `--machine`, which board `sunxi` alone has.
    pub(super) fn refuse_model(&self) -> Result<()> {
        ensure!(
            self.machine.model.is_none(),
            "{MACHINE} is for board sunxi: add --board sunxi"
        );
        Ok(())
    }

    fn asks_for_help(&self) -> bool {
        self.arguments
            .iter()
            .any(|word| arguments::asks_for_help(word))
    }

    /// Starts the executable of board `unix`.
    fn run_process(&self, image: &Image, port: u16) -> Result<ExitCode> {
        if self.asks_for_help() {
            // A program of this machine can say it itself.
            process::run_checked(Command::new(&image.path).arg("--help"), "its --help")?;
            return Ok(ExitCode::SUCCESS);
        }
        arguments::check(&image.path, &self.arguments)?;
        let mut command = supervised(&image.path);
        command.args(self.process_arguments(port));
        let tap = self.machine.tap.as_deref();
        let answer = match tap {
            Some(_) => Answer::OnConsole,
            None => Answer::At(local(port)),
        };
        // The capture ends after the process, which says its last words on the tap.
        let _capture = match (tap, &self.trace) {
            (Some(tap), Some(file)) => Some(Capture::start(tap, file)?),
            _ => None,
        };
        let mut guest = Guest::start(&mut command, Console::default(), false)?;
        self.serve(&mut guest, answer)
    }

    /// The words for a process: on a tap the port is its own affair.
    pub(super) fn process_arguments(&self, port: u16) -> Vec<String> {
        if let Some(tap) = &self.machine.tap {
            let tap = format!("tap={tap}");
            return std::iter::once(tap).chain(self.arguments.clone()).collect();
        }
        let others = self.arguments.iter().filter(|it| !it.starts_with("port="));
        std::iter::once(format!("port={port}"))
            .chain(others.cloned())
            .collect()
    }

    /// Starts an image in QEMU.
    pub(crate) fn run_machine(&self, image: &Image, port: u16, root: &Path) -> Result<ExitCode> {
        if arguments::check(&image.path, &self.arguments)? == Next::End {
            return Ok(ExitCode::SUCCESS);
        }
        let cpu = image.cpu.unwrap_or(Cpu::Aarch64);
        let machine = self.machine(cpu, &image.path, port);
        let mut command = supervised(cpu.qemu().get()?);
        command.args(machine.words());
        let answer = match machine.network {
            Network::User { .. } => Answer::At(local(port)),
            Network::Tap { .. } | Network::Wire { .. } => Answer::OnConsole,
        };
        let console = Console::of(&image.elf, root);
        let mut guest = Guest::start(&mut command, console, false)?;
        self.serve(&mut guest, answer)
    }

    pub(super) fn serve(&self, guest: &mut Guest, answer: Answer) -> Result<ExitCode> {
        guest.serve(answer, self.deadline(), |url| println!("open {url}"))?;
        eprintln!("the guest ended");
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn machine(&self, cpu: Cpu, image: &Path, port: u16) -> Machine {
        let options = &self.machine;
        let network = match &options.tap {
            Some(name) => Network::Tap { name: name.clone() },
            None => self.user_network(port),
        };
        let mut machine = Machine::new(cpu, image, network);
        machine.memory = options.memory.unwrap_or(machine.memory);
        machine.gic = options.gic.unwrap_or(machine.gic);
        machine.cpu = options.cpu.clone().unwrap_or(machine.cpu);
        machine.virtualization = options.virtualization;
        machine.trace.clone_from(&self.trace);
        machine.arguments.clone_from(&self.arguments);
        machine
    }

    /// QEMU's own network, by which a port of this machine reaches the app.
    pub(super) fn user_network(&self, port: u16) -> Network {
        Network::User {
            host_port: port,
            guest_port: self.guest_port(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        (self.timeout > 0).then(|| Duration::from_secs(self.timeout))
    }

    /// The port of this machine that the user wants.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(GUEST_PORT)
    }

    /// The port at which the guest listens: its boot argument `port`.
    fn guest_port(&self) -> u16 {
        self.port_argument().unwrap_or(GUEST_PORT)
    }

    fn port_argument(&self) -> Option<u16> {
        self.arguments
            .iter()
            .rev()
            .find_map(|argument| argument.strip_prefix("port=")?.parse().ok())
    }

    /// The port of this machine, after a look whether it is free.
    pub(crate) fn free_port(&self, process: bool) -> Result<u16> {
        if self.machine.tap.is_some() {
            ensure!(
                self.port.is_none(),
                "--port is of this machine, and on a tap the app is reached at its own: -- port=PORT"
            );
            return Ok(self.guest_port());
        }
        // A process has but one port: the boot argument is another way to name it.
        let given = if process {
            self.port_argument().unwrap_or(self.port())
        } else {
            self.port()
        };
        let address = if process {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        reserve(address, given, "--port PORT, or --port 0 for any free one")
    }
}

/// Returns `port`, or a free one for 0.
pub(super) fn reserve(address: Ipv4Addr, port: u16, instead: &str) -> Result<u16> {
    let listener = TcpListener::bind((address, port)).with_context(|| match port {
        0 => "there is no free port".to_owned(),
        port => format!("port {port} of this machine cannot be used; try another with {instead}"),
    })?;
    Ok(listener.local_addr()?.port())
}

pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Checks a boot argument: `key=value` in one word.
pub(crate) fn boot_argument(text: &str) -> Result<String> {
    let (key, _) = text
        .split_once('=')
        .context("a boot argument is written key=value")?;
    ensure!(!key.is_empty(), "the key before = is missing");
    ensure!(
        !text.contains(char::is_whitespace),
        "a boot argument is one word: it cannot hold spaces"
    );
    Ok(text.to_owned())
}

/// Checks a word for the guest: a boot argument or the wish for a list of them.
pub(super) fn boot_word(text: &str) -> Result<String> {
    match arguments::asks_for_help(text) {
        true => Ok(text.to_owned()),
        false => boot_argument(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn what_follows_two_dashes_is_for_the_guest() {
        let words = |words: &[&str]| parse(words).map(|arguments| arguments.words.words);
        let given = words(&["--board", "virt", "--", "log=debug", "--help"]);
        assert_eq!(given.expect("good words"), ["log=debug", "--help"]);
        assert!(words(&["--", "--gic"]).is_err());
        assert!(words(&["log=debug"]).is_err());
    }

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        let words = ["run", "hello"].iter().chain(words);
        Line::try_parse_from(words).map(|line| line.arguments)
    }

    fn machine(words: &[&str]) -> Machine {
        parse(words)
            .expect("good words")
            .options
            .machine(Cpu::Aarch64, Path::new("a.img"), 8080)
    }

    #[test]
    fn boot_arguments_are_words_with_a_key() {
        assert!(boot_argument("log=debug").is_ok());
        assert!(boot_argument("empty=").is_ok());
        for bad in ["log", "=debug", "log=de bug", "log =debug", ""] {
            assert!(boot_argument(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn options_reach_the_machine() {
        let machine = machine(&[
            "--memory",
            "6M",
            "--gic",
            "2",
            "--virtualization",
            "--arg",
            "port=81",
        ]);
        assert_eq!(machine.memory, MemorySize(6));
        assert_eq!(machine.gic, 2);
        assert!(machine.virtualization);
        assert_eq!(
            machine.network,
            Network::User {
                host_port: 8080,
                guest_port: 81
            }
        );
    }

    #[test]
    fn bad_options_are_refused() {
        for bad in [
            ["--memory", "lots"],
            ["--gic", "4"],
            ["--arg", "novalue"],
            ["--port", "65536"],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_process_is_told_its_port_or_its_tap() {
        let words = |words: &[&str]| {
            let options = parse(words).expect("good words").options;
            options.process_arguments(81).join(" ")
        };
        assert_eq!(
            words(&["--arg", "log=off", "--arg", "port=9"]),
            "port=81 log=off"
        );
        let tap = [
            "--tap",
            "tap0",
            "--arg",
            "ip=10.0.0.2/24",
            "--arg",
            "port=9",
        ];
        assert_eq!(words(&tap), "tap=tap0 ip=10.0.0.2/24 port=9");
    }

    #[test]
    fn machine_options_are_noticed_for_a_process() {
        let given = |words: &[&str]| {
            parse(words)
                .expect("good words")
                .options
                .machine
                .given()
                .next()
        };
        assert_eq!(given(&["--port", "0"]), None);
        assert_eq!(given(&["--tap", "tap0"]), Some("--tap"));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("it is bound").port();
        let error = reserve(Ipv4Addr::LOCALHOST, port, "--port PORT").expect_err("it is taken");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        assert_ne!(
            reserve(Ipv4Addr::LOCALHOST, 0, "").expect("some port is free"),
            0
        );
    }

    #[test]
    fn the_deadline_can_be_lifted() {
        let deadline = |words: &[&str]| parse(words).expect("good words").options.deadline();
        assert_eq!(deadline(&[]), Some(Duration::from_secs(60)));
        assert_eq!(deadline(&["--timeout", "0"]), None);
    }
}
