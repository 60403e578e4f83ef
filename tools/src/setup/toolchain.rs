//! A compiler for a target that the user's toolchain may lack.
//!
//! In this order: the target is installed; rustup adds it; the user's own library source is compiled
//! (build-std); Debian's compiler with its source, unpacked privately, does the same. One line on
//! standard error says which way was taken. `LANDFALL_TOOLCHAIN` (one of `installed`, `rustup`, `source`,
//! `debian`) allows only that way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use super::{apt, cache, debian, linker};
use crate::process::{self, ChildGuard, find_program};

/// How long rustup may take to fetch a target.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// How long a failure of rustup is remembered, so that not every build waits for it.
const RUSTUP_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a target's core library comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The user's toolchain has it.
    Installed,
    /// rustup has just added it.
    Rustup,
    /// Compiled from the user's own `rust-src`.
    Source,
    /// Compiled by Debian's compiler from its source.
    Debian,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Installed => "installed",
            Way::Rustup => "rustup",
            Way::Source => "source",
            Way::Debian => "debian",
        }
    }

    /// Returns whether `LANDFALL_TOOLCHAIN` lets this way be taken.
    fn allowed(self) -> bool {
        std::env::var("LANDFALL_TOOLCHAIN")
            .map_or(true, |only| only.is_empty() || only == self.name())
    }
}

/// The compiler that the user has.
#[derive(Clone, Debug)]
pub(crate) struct UserRust {
    /// Its folder.
    pub(crate) sysroot: PathBuf,
    /// The target that it compiles for by default.
    pub(crate) host: String,
    /// "1.95.0".
    pub(crate) version: String,
}

impl UserRust {
    /// Asks the user's `rustc` about itself.
    pub(crate) fn load() -> Result<Self> {
        let rustc = || Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let sysroot = process::output(rustc().args(["--print", "sysroot"]))?
            .trim()
            .into();
        let about = process::output(rustc().arg("-vV"))?;
        let field = |name: &str| {
            about
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::to_owned)
        };
        Ok(Self {
            sysroot,
            host: field("host: ").context("rustc does not name its host")?,
            version: field("release: ").context("rustc does not name its version")?,
        })
    }

    /// The folder of this machine's compiled library.
    pub(crate) fn library(&self) -> PathBuf {
        self.sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("lib")
    }

    fn has(&self, target: &str) -> bool {
        // A target that was only half removed leaves its folder behind.
        let library = self.sysroot.join("lib/rustlib").join(target).join("lib");
        std::fs::read_dir(library).is_ok_and(|mut files| files.next().is_some())
    }

    fn has_source(&self) -> bool {
        self.sysroot
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .is_file()
    }

    fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }
}

/// A compiler for a target, with what cargo must be told to use it.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    target: String,
    way: Way,
    rustc: PathBuf,
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// Returns a compiler for `target`, fetching one where there is none.
    pub(crate) fn get(target: &str) -> Result<Self> {
        let user = UserRust::load()?;
        let toolchain = match Self::find_in(&user, target)? {
            Some(toolchain) => toolchain,
            None => Self::fetch(&user, target)?,
        };
        toolchain.announce();
        Ok(toolchain)
    }

    /// Returns a compiler for `target` if nothing needs to be fetched for it.
    pub(crate) fn find(target: &str) -> Result<Option<Self>> {
        Self::find_in(&UserRust::load()?, target)
    }

    fn find_in(user: &UserRust, target: &str) -> Result<Option<Self>> {
        let debian = || debian::find_rustc().filter(|_| Way::Debian.allowed());
        // The user's source comes last: rustup's compiled library, if it can be had, saves compiling it.
        let (way, rustc) = if user.has(target) && Way::Installed.allowed() {
            (Way::Installed, user.rustc())
        } else if let Some(rustc) = debian() {
            (Way::Debian, rustc)
        } else if user.has_source() && Way::Source.allowed() && !worth_asking_rustup(target) {
            (Way::Source, user.rustc())
        } else {
            return Ok(None);
        };
        let linker = linker::find(&user.sysroot, &user.host);
        Ok(linker.map(|linker| Self::new(target, way, rustc, linker)))
    }

    fn fetch(user: &UserRust, target: &str) -> Result<Self> {
        let (way, rustc) = if user.has(target) && Way::Installed.allowed() {
            (Way::Installed, user.rustc())
        } else if worth_asking_rustup(target) && add_by_rustup(user, target)? {
            (Way::Rustup, user.rustc())
        } else if user.has_source() && Way::Source.allowed() {
            (Way::Source, user.rustc())
        } else if apt::available() && Way::Debian.allowed() {
            (
                Way::Debian,
                debian::rustc(&format!("a compiler for {target} is missing"))?,
            )
        } else {
            bail!("a compiler for {target} is missing: run `rustup target add {target}`");
        };
        let linker = linker::get(&user.sysroot, &user.host)?;
        Ok(Self::new(target, way, rustc, linker))
    }

    fn new(target: &str, way: Way, rustc: PathBuf, linker: PathBuf) -> Self {
        // Rust's own linker is found without being named.
        let own = matches!(way, Way::Installed | Way::Rustup | Way::Source)
            && linker.ends_with("bin/rust-lld");
        Self {
            target: target.to_owned(),
            way,
            rustc,
            linker: (!own).then_some(linker),
        }
    }

    fn announce(&self) {
        eprintln!("toolchain: {} {}", self.target, self.how());
    }

    /// Says how the target is compiled for: "as installed".
    pub(crate) fn how(&self) -> String {
        match self.way {
            Way::Installed => "as installed".to_owned(),
            Way::Rustup => "as just added by rustup".to_owned(),
            Way::Source => "with your rustc, compiling its core library (rust-src)".to_owned(),
            Way::Debian => {
                format!(
                    "with Debian's rustc, compiling its core library ({})",
                    self.rustc.display()
                )
            }
        }
    }

    /// Says what [`Toolchain::get`] would do about a target that [`Toolchain::find`] did not find.
    pub(crate) fn plan(target: &str) -> Result<String> {
        let user = UserRust::load()?;
        let here = user.has(target) && Way::Installed.allowed()
            || debian::find_rustc().is_some() && Way::Debian.allowed();
        Ok(if here {
            "fetch a linker".to_owned()
        } else if worth_asking_rustup(target) {
            format!("rustup target add {target}")
        } else if user.has_source() && Way::Source.allowed() {
            "fetch a linker, and compile the core library".to_owned()
        } else if apt::available() && Way::Debian.allowed() {
            "fetch Debian's compiler into the cache".to_owned()
        } else {
            "nothing: no rustup, no rust-src, no apt".to_owned()
        })
    }

    /// The path of the compiler.
    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// The linker, where cargo must be told.
    pub(crate) fn linker(&self) -> Option<&Path> {
        self.linker.as_deref()
    }

    /// Returns whether the compiler is Debian's.
    pub(crate) fn is_debians(&self) -> bool {
        self.way == Way::Debian
    }

    /// Returns whether the core library is compiled with the program.
    pub(crate) fn builds_library(&self) -> bool {
        matches!(self.way, Way::Source | Way::Debian)
    }

    /// The flags for cargo that make it compile the core library.
    pub(crate) fn flags(&self) -> &'static [&'static str] {
        match (self.builds_library(), self.target.starts_with("wasm")) {
            (false, _) => &[],
            (true, true) => &["-Zbuild-std=core"],
            (true, false) => &["-Zbuild-std=core,alloc"],
        }
    }

    /// Makes `command` (cargo with a subcommand) compile for the target. Compilers that are not the
    /// user's get a target folder of their own in `folder`: sharing one, each would throw away the other's
    /// work.
    pub(crate) fn apply(&self, command: &mut Command, folder: &Path) {
        command.args(["--target", &self.target]).args(self.flags());
        if self.builds_library() {
            command.env("RUSTC_BOOTSTRAP", "1");
            command
                .arg("--target-dir")
                .arg(folder.join(self.way.name()));
        }
        if self.way == Way::Debian {
            command.env("RUSTC", &self.rustc);
        }
        if let Some(linker) = &self.linker {
            let target = self.target.to_uppercase().replace(['-', '.'], "_");
            command.env(format!("CARGO_TARGET_{target}_LINKER"), linker);
        }
    }
}

/// The cargo that started this command, or else the one on `PATH`.
pub(crate) fn cargo_program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Returns whether rustup is there and did not fail lately.
fn worth_asking_rustup(target: &str) -> bool {
    Way::Rustup.allowed() && find_program("rustup").is_some() && !failed_lately(target)
}

fn failure_note(target: &str) -> Option<PathBuf> {
    cache::folder()
        .ok()
        .map(|folder| folder.join(format!("rustup-failed-{target}")))
}

fn failed_lately(target: &str) -> bool {
    let time = failure_note(target).and_then(|note| note.metadata().ok()?.modified().ok());
    let age = time.and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age < RUSTUP_PAUSE)
}

/// Lets rustup add `target`. A failure is remembered, and says so in a line: there are other ways.
fn add_by_rustup(user: &UserRust, target: &str) -> Result<bool> {
    eprintln!("setup: a compiler for {target} is missing: rustup target add {target}");
    let mut rustup = Command::new("rustup");
    rustup
        .args(["target", "add", target])
        .stdout(Stdio::from(std::io::stderr()));
    let mut guard = ChildGuard::spawn(&mut rustup)?;
    let status = guard.wait_until(Some(Instant::now() + RUSTUP_LIMIT))?;
    if status.is_some_and(|status| status.success()) && user.has(target) {
        return Ok(true);
    }
    let how = status.map_or_else(
        || format!("no end after {} s", RUSTUP_LIMIT.as_secs()),
        process::describe,
    );
    eprintln!(
        "setup: rustup could not add it ({how}); taking another way, and not asking rustup again today"
    );
    if let Some(note) = failure_note(target) {
        // Only a convenience: without the note the next build asks rustup again.
        let _ignored = note.parent().map(std::fs::create_dir_all);
        let _ignored = std::fs::write(note, "");
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(target: &str, way: Way, linker: &str) -> Toolchain {
        Toolchain::new(target, way, "/sysroot/bin/rustc".into(), linker.into())
    }

    fn words(command: &Command) -> Vec<String> {
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn an_installed_target_needs_only_its_name() {
        let mut command = Command::new("cargo");
        let linker = "/sysroot/lib/rustlib/host/bin/rust-lld";
        toolchain("aarch64-unknown-none", Way::Installed, linker)
            .apply(&mut command, Path::new("/t"));
        assert_eq!(words(&command), ["--target", "aarch64-unknown-none"]);
        assert_eq!(command.get_envs().count(), 0);
    }

    #[test]
    fn debians_compiler_builds_the_library_in_a_folder_of_its_own() {
        let mut command = Command::new("cargo");
        toolchain("aarch64-unknown-none", Way::Debian, "/cache/rust-lld")
            .apply(&mut command, Path::new("/t"));
        let expected = [
            "--target",
            "aarch64-unknown-none",
            "-Zbuild-std=core,alloc",
            "--target-dir",
            "/t/debian",
        ];
        assert_eq!(words(&command), expected);
        let names: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER",
                "RUSTC",
                "RUSTC_BOOTSTRAP"
            ]
        );
    }

    #[test]
    fn pages_need_only_core() {
        assert_eq!(
            toolchain("wasm32-unknown-unknown", Way::Source, "lld").flags(),
            ["-Zbuild-std=core"]
        );
    }
}
