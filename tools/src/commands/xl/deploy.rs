//! `cargo landfall xl deploy`: from an app's source to a domain on a Xen host that serves.

use std::process::ExitCode;

use anyhow::{Error, Result, anyhow, bail, ensure};

use super::host::{Host, Rights};
use super::options::DomainOptions;
use crate::cargo::{Compilers, shown};
use crate::commands::build::{self, Image};
use crate::console::Console;
use crate::guest::{Answer, Guest, GuestStopped};
use crate::image::Cpu;
use crate::process::Interrupted;
use crate::registry::{App, Board, Loader, Workspace};
use crate::ssh::{self, Connection, Destination};
use crate::xl::{Config, DomainName, ImagePath, MacAddress};

/// Builds an app, copies it to a Xen host by ssh, creates its domain and shows the console
///
/// ssh is your own, with your keys, agent and ~/.ssh/config. Image and configuration stay on the host: xl
/// needs them to restart the domain. Ctrl-C leaves the console, and the domain runs on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall xl deploy 2048 root@xen.example\n  \
    cargo landfall xl deploy 2048 root@xen.example --replace --bridge br0 --arg port=80\n  \
    cargo landfall xl deploy hello me@xen.example --sudo --ssh-option Port=2222 --no-console")]
pub(crate) struct Arguments {
    /// The app, as `cargo landfall apps` lists it
    app: String,
    /// The Xen host and a user on it, as for ssh
    #[arg(value_name = "USER@HOST")]
    destination: Destination,
    /// The board, as `cargo landfall boards` lists it
    #[arg(long, default_value = "xenvm")]
    board: String,
    /// The folder on the host for image and configuration [default: landfall/NAME in the user's home]
    #[arg(long, value_name = "DIR")]
    directory: Option<String>,
    /// Destroy a domain of the same name first
    #[arg(long)]
    replace: bool,
    /// Run xl by sudo, for a user who is not root
    #[arg(long)]
    sudo: bool,
    /// Return when the domain is created
    #[arg(long)]
    no_console: bool,
    /// Let the image log by defmt: without the texts of lines, which are read here from its ELF file
    #[arg(long)]
    defmt: bool,
    /// An option for ssh -o, such as Port=2222; may be given again
    #[arg(long = "ssh-option", value_name = "NAME=VALUE")]
    ssh_options: Vec<String>,
    #[command(flatten)]
    domain: DomainOptions,
}

/// Builds, copies, creates and follows.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let app = workspace.app(&arguments.app)?;
    let board = workspace.board(&arguments.board)?;
    let config = arguments.config(&app, &board)?;
    // Before the build: what is wrong with the host should not cost its time.
    let host = arguments.host(&board)?;
    arguments.make_room(&host, &config)?;
    let image = build::build(
        &mut Compilers::new(&workspace).with_defmt(arguments.defmt),
        &app,
        &board,
        &build::images_folder(&workspace, &board),
    )?;
    let domain = arguments.copy(&host, config, &app, &image)?;
    if arguments.replace && host.has(&domain.name)? {
        eprintln!("deploy: xl destroy {}", domain.name);
        host.destroy(&domain.name)?;
    }
    if arguments.no_console {
        domain.create()
    } else {
        domain.follow(Console::of(&image.elf, workspace.root()))
    }
}

impl Arguments {
    /// The domain. Its address belongs to name and host, unless the user chose one: the same app on two hosts
    /// may well be on one network.
    fn config(&self, app: &App, board: &Board) -> Result<Config> {
        ensure!(
            board.loader == Some(Loader::Xl),
            "xl does not start images for board {}: choose one such as --board xenvm",
            board.name
        );
        let mut config = self.domain.config(app, board)?;
        if !self.domain.has_mac() {
            let seed = format!("{}@{}", config.name, self.destination.host());
            config
                .vifs
                .iter_mut()
                .for_each(|vif| vif.mac = MacAddress::of(&seed));
        }
        Ok(config)
    }

    /// Logs in.
    fn host(&self, board: &Board) -> Result<Host> {
        let rights = if self.sudo { Rights::Sudo } else { Rights::Own };
        let connection = Connection::open(&self.destination, &self.ssh_options)?;
        Host::new(connection, rights, architecture(board)?)
    }

    /// Refuses to take over a name that is in use, unless the user wants that.
    fn make_room(&self, host: &Host, config: &Config) -> Result<()> {
        let taken = !self.replace && host.has(&config.name)?;
        ensure!(
            !taken,
            "{} has a domain {} already: --replace destroys it first, --name gives this one another name",
            self.destination,
            config.name
        );
        Ok(())
    }

    /// Puts image and configuration into the folder on the host.
    fn copy<'a>(
        &self,
        host: &'a Host,
        mut config: Config,
        app: &App,
        image: &Image,
    ) -> Result<Domain<'a>> {
        let default = format!("landfall/{}", config.name);
        let folder = host.folder(self.directory.as_deref().unwrap_or(&default))?;
        let file = format!("{}.xl", app.name);
        config.kernel = ImagePath::in_folder(&folder, &config.kernel.to_string())?;
        eprintln!(
            "deploy: copying {} ({} bytes) and {file} to {}:{folder}",
            shown(&image.path),
            image.bytes,
            self.destination
        );
        let path = format!("{folder}/{file}");
        host.connection()
            .send(&image.path, &config.kernel.to_string())?;
        let text = tempfile::NamedTempFile::new()?;
        std::fs::write(text.path(), config.text(&file))?;
        host.connection().send(text.path(), &path)?;
        Ok(Domain {
            host,
            name: config.name,
            config: path,
        })
    }
}

/// A domain whose files are on its host.
struct Domain<'a> {
    host: &'a Host,
    name: DomainName,
    /// The path of its configuration there.
    config: String,
}

impl Domain<'_> {
    /// Creates it, and says how to see it.
    fn create(&self) -> Result<ExitCode> {
        self.host.create(&self.config)?;
        eprintln!("{} was created\n{}", self.name, self.usage());
        Ok(ExitCode::SUCCESS)
    }

    /// Creates it and shows its console until it ends.
    fn follow(&self, console: Console) -> Result<ExitCode> {
        eprintln!(
            "deploy: xl create -c {}; Ctrl-C leaves the console",
            self.config
        );
        let mut command = self.host.create_with_console(&self.config);
        let mut guest = Guest::start(&mut command, console, false)?;
        match guest.serve(Answer::OnConsole, None, |url| println!("open {url}")) {
            Ok(()) => self.ended(&guest.console),
            Err(error) => Err(self.failed(error, &guest.console)),
        }
    }

    /// The console has ended in good order. xl says the same of a guest that never served.
    fn ended(&self, console: &Console) -> Result<ExitCode> {
        if console.url().is_some() {
            eprintln!("the guest ended");
            return Ok(ExitCode::SUCCESS);
        }
        match (console.error(), console.last_line()) {
            (Some(error), _) => bail!("the guest ended before it listened: {error}"),
            (None, Some(line)) => {
                bail!("the guest ended before it listened; its last line was {line:?}")
            }
            (None, None) => bail!("the guest ended before it listened, without a word"),
        }
    }

    /// Says what an end that was no good means for the domain.
    fn failed(&self, error: Error, console: &Console) -> Error {
        if error.is::<Interrupted>() {
            // xl goes on without a console, once it has begun.
            let state = if console.is_silent() {
                "may have been created"
            } else {
                "runs on"
            };
            eprintln!("\n{} {state}\n{}", self.name, self.usage());
            return error;
        }
        match error.downcast_ref::<GuestStopped>() {
            Some(_) if console.death().is_some() => {
                eprintln!(
                    "xl starts it anew: on_crash of {} says so\n{}",
                    self.config,
                    self.usage()
                );
                error
            }
            Some(stopped) if stopped.code == ssh::BROKEN => {
                anyhow!(
                    "the connection is lost; {} may run on\n{}",
                    self.name,
                    self.usage()
                )
            }
            Some(stopped) => anyhow!(
                "xl create failed ({}); what it says is above",
                stopped.reason
            ),
            None => error,
        }
    }

    /// How to see it again and how to stop it.
    fn usage(&self) -> String {
        let Self { host, name, .. } = self;
        format!(
            "  its console: {}\n  stop it:     {}",
            host.shown(&format!("console {name}")),
            host.shown(&format!("shutdown {name}"))
        )
    }
}

/// What `xl info` calls the CPUs that a board's images are for.
fn architecture(board: &Board) -> Result<&'static str> {
    match board.cpu() {
        Some(Cpu::Aarch64) => Ok("aarch64"),
        Some(Cpu::Armv7) => Ok("armv7l"),
        None => bail!(
            "board {} is this machine, and Xen runs no such guests",
            board.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(target: Option<&str>) -> Board {
        Board {
            name: "a".to_owned(),
            summary: String::new(),
            target: target.map(str::to_owned),
            target_cpu: None,
            feature: None,
            loader: Some(Loader::Xl),
        }
    }

    #[test]
    fn xen_has_its_own_names_for_cpus() {
        let of = |target| architecture(&board(target)).ok();
        assert_eq!(of(Some("aarch64-unknown-none")), Some("aarch64"));
        assert_eq!(of(Some("armv7a-none-eabi")), Some("armv7l"));
        assert_eq!(of(Some("riscv64-unknown-none")), None);
        assert_eq!(of(None), None);
    }
}
