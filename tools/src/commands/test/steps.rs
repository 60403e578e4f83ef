//! What each step does.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::count::Count;
use super::xen::{self, Host};
use super::{Outcome, Step, images};
use crate::card::models::{Emulation, emulated};
use crate::card::{device_tree, u_boot, xen as card_xen};
use crate::cargo::{Compilers, Pages, executables, message_format};
use crate::process::{self, ChildGuard};
use crate::registry::{FUZZERS, Workspace};
use crate::setup::{components, debian, programs, sshd, wasm, xen_headers};

/// The package of the tests that start images.
const GUEST_TESTS: &str = "landfall-tests";

/// The package that picks a board.
const BOARDS: &str = "landfall-board";

/// The package of the page.
const PAGE: &str = "page-2048";

/// What the steps share.
pub(super) struct Bench {
    workspace: Workspace,
    compilers: Compilers,
    filter: Option<String>,
    images: PathBuf,
    images_built: bool,
}

impl Bench {
    /// Nothing has run yet.
    pub(super) fn new(filter: Option<String>) -> Result<Self> {
        let workspace = Workspace::load()?;
        let compilers = Compilers::new(&workspace);
        let images = workspace.target_directory().join("landfall/test-images");
        Ok(Self {
            workspace,
            compilers,
            filter,
            images,
            images_built: false,
        })
    }

    /// Runs a step.
    pub(super) fn run(&mut self, step: Step) -> Result<Outcome> {
        match step {
            Step::Setup => self.setup(),
            Step::Format => self.check(&["fmt", "--all", "--check"]),
            Step::Clippy => {
                self.check(&["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"])
            }
            Step::ClippyTargets => self.clippy_targets(),
            Step::Docs => self.docs(),
            Step::Unit => self.unit(),
            Step::Fuzz => self.fuzz(),
            Step::Images => self.build_images(),
            Step::Guests => self.guests(),
            Step::Xen => self.xen(),
        }
    }

    fn setup(&mut self) -> Result<Outcome> {
        components::get()?;
        programs::get_all(&[
            programs::QEMU,
            programs::QEMU_32,
            programs::BROWSER,
            programs::BROWSER_DRIVER,
            programs::IP,
            programs::GDB,
            programs::DNSMASQ,
            programs::SSH,
        ])?;
        sshd::get()?;
        xen_headers::get()?;
        for model in emulated() {
            match model.emulation {
                Some(Emulation::Image { device_tree }) => {
                    drop(device_tree::get(device_tree, None)?)
                }
                _ => drop(u_boot::sunxi(model.u_boot, None)?),
            }
        }
        u_boot::qemu()?;
        card_xen::Parts::get(None)?;
        self.get_compilers()?;
        Ok(Outcome::Ran(Count::ONE))
    }

    /// Has the compilers for pages and for all boards.
    fn get_compilers(&mut self) -> Result<()> {
        self.compilers.get(wasm::TARGET)?;
        for target in self.targets()? {
            self.compilers.get(&target)?;
        }
        Ok(())
    }

    /// The targets of all boards that have one, each once.
    fn targets(&self) -> Result<Vec<String>> {
        let mut targets: Vec<String> = self
            .workspace
            .boards()?
            .into_iter()
            .filter_map(|board| board.target)
            .collect();
        targets.sort();
        targets.dedup();
        Ok(targets)
    }

    /// A cargo command on the host that succeeds or fails as a whole.
    fn check(&mut self, words: &[&str]) -> Result<Outcome> {
        let mut command = self.compilers.command(words, None, Pages::Needed)?;
        process::run_checked(&mut command, &format!("cargo {}", words.join(" ")))?;
        Ok(Outcome::Ran(Count::ONE))
    }

    fn docs(&mut self) -> Result<Outcome> {
        let words = ["doc", "--workspace", "--no-deps"];
        let mut command = self.compilers.command(&words, None, Pages::Needed)?;
        command.env("RUSTDOCFLAGS", "-Dwarnings");
        process::run_checked(&mut command, "cargo doc")?;
        Ok(Outcome::Ran(Count::ONE))
    }

    fn clippy_targets(&mut self) -> Result<Outcome> {
        let programs: Vec<String> = self
            .workspace
            .apps_and_guests()?
            .into_iter()
            .map(|app| app.package)
            .collect();
        let mut count = Count::default();
        for target in self.targets()? {
            self.clippy(&target, &programs, None)?;
            count += Count::ONE;
        }
        // Boards that are not their target's default.
        for board in self.workspace.boards()? {
            if let (Some(target), Some(feature)) = (&board.target, &board.feature) {
                self.clippy(target, &[BOARDS.to_owned()], Some(feature))?;
                count += Count::ONE;
            }
        }
        if self.workspace.has_package(PAGE) {
            self.clippy(wasm::TARGET, &[PAGE.to_owned()], None)?;
            count += Count::ONE;
        }
        Ok(Outcome::Ran(count))
    }

    /// Lints `packages` for `target`. The user's clippy is of one piece with the user's compiler; where
    /// Debian's compiler is used, so must its clippy, which is started as `cargo clippy` starts its own.
    fn clippy(&mut self, target: &str, packages: &[String], feature: Option<&str>) -> Result<()> {
        let what = feature.map_or_else(|| packages.join(", "), |board| format!("board {board}"));
        eprintln!("clippy: {what} for {target}");
        let debians = self.compilers.get(target)?.is_debians();
        let subcommand = if debians { "check" } else { "clippy" };
        let mut command = self
            .compilers
            .command(&[subcommand], Some(target), Pages::Needed)?;
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        command.args(feature.iter().flat_map(|feature| ["--features", feature]));
        command.arg(message_format());
        if debians {
            command.env("RUSTC_WORKSPACE_WRAPPER", debian::clippy_driver()?);
            command.env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
        } else {
            command.args(["--", "-Dwarnings"]);
        }
        executables(&mut command, &format!("clippy for {target}")).map(drop)
    }

    fn unit(&mut self) -> Result<Outcome> {
        let words = [
            "test",
            "--no-fail-fast",
            "--workspace",
            "--exclude",
            GUEST_TESTS,
            "--exclude",
            FUZZERS,
        ];
        let mut command = self.compilers.command(&words, None, Pages::Needed)?;
        if let Some(headers) = xen_headers::find() {
            command.env("LANDFALL_XEN_HEADERS", headers);
        }
        self.filter(&mut command);
        Ok(Outcome::Ran(tests(command)?))
    }

    /// The fuzzers' functions without libFuzzer, which is not worth its build here: `cargo landfall fuzz` has it.
    fn fuzz(&mut self) -> Result<Outcome> {
        let words = ["test", "--no-fail-fast", "--package", FUZZERS];
        let mut command = self.compilers.command(&words, None, Pages::Needed)?;
        self.filter(&mut command);
        Ok(Outcome::Ran(tests(command)?))
    }

    /// Lets a `cargo test` command run only what the user wants.
    fn filter(&self, command: &mut Command) {
        if let Some(filter) = &self.filter {
            command.arg("--").arg(filter);
        }
    }

    fn build_images(&mut self) -> Result<Outcome> {
        // Once, before several threads want them.
        self.get_compilers()?;
        let count = images::build(&self.workspace, &self.compilers, &self.images)?;
        self.images_built = true;
        Ok(Outcome::Ran(count))
    }

    fn guests(&mut self) -> Result<Outcome> {
        if !self.workspace.has_package(GUEST_TESTS) {
            return Ok(Outcome::Skipped(format!(
                "the workspace has no package {GUEST_TESTS}"
            )));
        }
        let mut command = self.guest_tests()?;
        // Whatever Xen host the user has is not for tests.
        command.env_remove("LANDFALL_LAB");
        if let Some(sshd) = sshd::find() {
            command.env("LANDFALL_SSHD", sshd);
        }
        command.env("LANDFALL_U_BOOT", u_boot::qemu()?);
        self.filter(&mut command);
        Ok(Outcome::Ran(tests(command)?))
    }

    fn xen(&mut self) -> Result<Outcome> {
        if !self.workspace.has_package(GUEST_TESTS) {
            return Ok(Outcome::Skipped(format!(
                "the workspace has no package {GUEST_TESTS}"
            )));
        }
        let folder = self.workspace.target_directory().join("landfall/test-xen");
        let mut count = Count::default();
        let filter = self.filter.clone();
        for plan in xen::plans(filter.as_deref()) {
            println!("-- {plan}");
            let host = Host::up(&folder, &plan)?;
            for run in &plan.runs {
                println!("-- {plan}: {run}");
                let mut command = self.guest_tests()?;
                host.prepare(&mut command, run);
                count += tests(command)?;
            }
        }
        Ok(Outcome::Ran(count))
    }

    /// A `cargo test` command for the tests that start images, which are to be built already.
    fn guest_tests(&mut self) -> Result<Command> {
        ensure!(
            self.images_built || self.images.is_dir(),
            "there are no images to start"
        );
        let words = ["test", "--no-fail-fast", "--package", GUEST_TESTS];
        let mut command = self.compilers.command(&words, None, Pages::Needed)?;
        command.env("LANDFALL_IMAGES", &self.images);
        command.env("LANDFALL_TOOL", self.copy_of_tool()?);
        Ok(command)
    }

    /// A copy of this executable: cargo may build the original anew while it is in use.
    fn copy_of_tool(&self) -> Result<PathBuf> {
        let copy = self.images.join("cargo-landfall");
        std::fs::create_dir_all(&self.images)?;
        let new = tempfile::NamedTempFile::new_in(&self.images)?;
        std::fs::copy("/proc/self/exe", new.path()).context("cannot copy this program")?;
        new.persist(&copy)?;
        Ok(copy)
    }
}

/// Runs a `cargo test` command, shows its output, and counts.
fn tests(mut command: Command) -> Result<Count> {
    let mut guard = ChildGuard::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = guard
        .child()
        .stdout
        .take()
        .context("the output is a pipe")?;
    let mut count = Count::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        if let Some(counted) = Count::of_line(&line) {
            count += counted;
        }
    }
    let status = guard
        .wait_until(None)?
        .context("the wait without a deadline ends with a status")?;
    if !status.success() && count.failed == 0 {
        // A test program that does not build or dies says no result.
        count.failed = 1;
    }
    Ok(count)
}
