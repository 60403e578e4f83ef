//! Cargo: the commands that this tool runs, with the compiler for their target.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use cargo_metadata::Message;

use crate::process::{self, ChildGuard};
use crate::registry::{App, Board, Workspace};
use crate::setup::toolchain::{Toolchain, cargo_program};
use crate::setup::wasm::{self, WasmToolchain};

/// The compilers of one run of this tool; each is looked for once.
#[derive(Clone, Debug)]
pub(crate) struct Compilers {
    target_directory: PathBuf,
    root: PathBuf,
    found: Vec<(String, Toolchain)>,
    wasm: Option<WasmToolchain>,
    /// Whether images log by defmt.
    defmt: bool,
    /// Features of the crate `landfall` that images have besides their app's.
    parts: Vec<String>,
    /// Whether another cargo writes to the same terminal.
    in_company: bool,
}

/// Whether an absent compiler for WebAssembly is worth fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// A build script may compile a page.
    Needed,
    /// None will: use the compiler only if it is here.
    Unneeded,
}

impl Compilers {
    /// Has looked for nothing yet.
    pub(crate) fn new(workspace: &Workspace) -> Self {
        Self {
            target_directory: workspace.target_directory(),
            root: workspace.root().to_owned(),
            found: Vec::new(),
            wasm: None,
            defmt: false,
            parts: Vec::new(),
            in_company: false,
        }
    }

    /// Has images log by defmt, or not.
    pub(crate) fn with_defmt(self, defmt: bool) -> Self {
        Self { defmt, ..self }
    }

    /// Gives images these features of the crate `landfall`, besides those that their apps ask for.
    pub(crate) fn with_parts(self, parts: Vec<String>) -> Self {
        Self { parts, ..self }
    }

    /// The same for commands that run beside others: without the bar that cargo keeps in the last line.
    pub(crate) fn in_company(self) -> Self {
        Self {
            in_company: true,
            ..self
        }
    }

    /// The compiler for `target`.
    pub(crate) fn get(&mut self, target: &str) -> Result<Toolchain> {
        if let Some((_, toolchain)) = self.found.iter().find(|(name, _)| name == target) {
            return Ok(toolchain.clone());
        }
        let toolchain = Toolchain::get(target)?;
        self.found.push((target.to_owned(), toolchain.clone()));
        Ok(toolchain)
    }

    /// Returns `cargo SUBCOMMAND` in the workspace, for `target` or for the host.
    pub(crate) fn command(
        &mut self,
        subcommand: &[&str],
        target: Option<&str>,
        pages: Pages,
    ) -> Result<Command> {
        let folder = self.target_directory.join("landfall");
        self.command_in(&folder, subcommand, target, pages)
    }

    /// The same, with the folders of compilers that are not the user's in `folder`.
    fn command_in(
        &mut self,
        folder: &Path,
        subcommand: &[&str],
        target: Option<&str>,
        pages: Pages,
    ) -> Result<Command> {
        let mut command = Command::new(cargo_program());
        command.args(subcommand).current_dir(&self.root);
        remove_own_variables(&mut command);
        if let Some(target) = target {
            self.get(target)?.apply(&mut command, folder);
        }
        self.apply_wasm(&mut command, pages)?;
        if self.in_company {
            command.env("CARGO_TERM_PROGRESS_WHEN", "never");
        }
        Ok(command)
    }

    fn apply_wasm(&mut self, command: &mut Command, pages: Pages) -> Result<()> {
        if self.wasm.is_none() {
            let toolchain = match pages {
                Pages::Needed => Some(self.get(wasm::TARGET)?),
                Pages::Unneeded => Toolchain::find(wasm::TARGET)?,
            };
            let wasm =
                toolchain.map(|toolchain| WasmToolchain::new(toolchain, &self.target_directory));
            self.wasm = wasm.transpose()?;
        }
        if let Some(wasm) = &self.wasm {
            wasm.apply(command);
        }
        Ok(())
    }

    /// Cargo's target folder for images of `board`: one for each CPU. What is compiled for another CPU of a target has the
    /// same names, so that in one folder boards would throw away each other's; and cargo runs once at a time in each.
    pub(crate) fn build_folder(&self, board: &Board) -> PathBuf {
        let cpu = board.target_cpu.as_ref().or(board.target.as_ref());
        cpu.map_or_else(
            || self.target_directory.clone(),
            |cpu| self.target_directory.join("landfall/build").join(cpu),
        )
    }

    /// Builds `app` for `board` as users get it; cargo's progress goes to standard error. Returns the
    /// executable.
    pub(crate) fn build(&mut self, app: &App, board: &Board) -> Result<PathBuf> {
        let pages = if app.has_build_script {
            Pages::Needed
        } else {
            Pages::Unneeded
        };
        let subcommand = [
            if self.defmt { "rustc" } else { "build" },
            "--release",
            message_format(),
            "--package",
            &app.package,
        ];
        let folder = self.build_folder(board);
        let mut command = self.command_in(&folder, &subcommand, board.target.as_deref(), pages)?;
        command.env("CARGO_TARGET_DIR", &folder);
        if let Some(target) = &board.target {
            let cpu = board.target_cpu.iter();
            let flags = cpu.map(|cpu| format!("-Ctarget-cpu={cpu}"));
            let flags: Vec<String> = flags.chain(without_home()).collect();
            // Added to those of `.cargo/config.toml`, of which rustc takes the last. An array of strings is the same in
            // JSON and in TOML.
            let flags = serde_json::Value::from(flags);
            let setting = format!("target.{target}.rustflags={flags}");
            command.args(["--config", &setting]);
        }
        if let Some(feature) = &board.feature {
            command
                .arg("--features")
                .arg(format!("landfall-board/{feature}"));
        }
        for part in &self.parts {
            command.arg("--features").arg(format!("landfall/{part}"));
        }
        if self.defmt {
            // By the crate's script the texts get a place beside the image's memory.
            let texts = ["--", "-Clink-arg=-Tdefmt.x"];
            command
                .args(["--bins", "--features", "landfall/defmt"])
                .args(texts);
        }
        let executable = executables(&mut command, "cargo build")?.into_iter().next();
        executable.with_context(|| format!("package {} has no program to build", app.package))
    }
}

/// The words by which paths of crates in an image (of panics, and in its ELF) begin with the crate and
/// not with this user's home: they are shorter, and the same wherever the image is built.
fn without_home() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.map(|home| home.join("registry/src"));
    let folders = registries.and_then(|folder| std::fs::read_dir(folder).ok());
    folders
        .into_iter()
        .flatten()
        .filter_map(|folder| Some(folder.ok()?.path()))
        .map(|folder| format!("--remap-path-prefix={}/=", folder.display()))
        .collect()
}

/// What rustc says for each crate about the way in which ARMv7 images are made (`.cargo/config.toml`).
const KNOWN: [&str; 2] = [
    "unstable feature specified for `-Ctarget-feature`: `thumb-mode`",
    "unknown and unstable feature specified for `-Ctarget-feature`: `aapcs-frame-chain`",
];

/// The option by which a command's messages come to [`executables`].
pub(crate) fn message_format() -> &'static str {
    if std::io::stderr().is_terminal() {
        "--message-format=json,json-diagnostic-rendered-ansi"
    } else {
        "--message-format=json"
    }
}

/// Runs a cargo command that has [`message_format`], shows the compiler's messages, and returns the programs it made.
pub(crate) fn executables(command: &mut Command, what: &str) -> Result<Vec<PathBuf>> {
    let mut guard = ChildGuard::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = guard
        .child()
        .stdout
        .take()
        .context("the output is a pipe")?;
    let mut executables = Vec::new();
    for message in Message::parse_stream(std::io::BufReader::new(stdout)) {
        match message.context("cannot read cargo's messages")? {
            Message::CompilerArtifact(artifact) => {
                executables.extend(artifact.executable.map(PathBuf::from));
            }
            Message::CompilerMessage(note) if !KNOWN.contains(&&*note.message.message) => {
                eprint!("{}", note.message.rendered.unwrap_or_default());
            }
            _ => {}
        }
    }
    let status = guard
        .wait_until(None)?
        .context("the wait without a deadline ends with a status")?;
    anyhow::ensure!(
        status.success(),
        "{what} failed ({}); its messages are above",
        process::describe(status)
    );
    Ok(executables)
}

/// Removes what `cargo run` told this tool about this tool's own package: other packages' build scripts
/// must not see it, or they would run again each time.
fn remove_own_variables(command: &mut Command) {
    const OWN: [&str; 5] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_PRIMARY_",
    ];
    for (name, _) in std::env::vars_os() {
        if OWN
            .iter()
            .any(|own| name.to_string_lossy().starts_with(own))
        {
            command.env_remove(name);
        }
    }
}

/// Returns `path` as the user would write it from the current folder.
pub(crate) fn shown(path: &Path) -> String {
    let relative = std::env::current_dir()
        .ok()
        .and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned));
    relative
        .unwrap_or_else(|| path.to_owned())
        .display()
        .to_string()
}
