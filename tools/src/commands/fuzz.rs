//! `cargo landfall fuzz`: looks for input from outside that does harm, by libFuzzer.

mod build;
mod progress;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::apps::print_table;
use crate::cargo::shown;
use crate::process::{self, ChildGuard};
use crate::registry::{FuzzTarget, Workspace};
use build::Sanitizer;
use progress::Progress;

/// Seconds after which one input counts as a hang, and mebibytes after which memory as leaking.
const SLOWEST_S: u32 = 20;
const MOST_MEMORY_MIB: u32 = 3072;

/// What `--keep` takes into a corpus.
const MOST_FILES: usize = 48;
const MOST_BYTES: u64 = 40_000;

/// Looks for input from outside that does harm: frames, rings, trees, requests
///
/// Each target is a function of bytes that must come back for every input (tests/fuzz). libFuzzer makes inputs, keeps
/// those that reach something new, and stops at the first that ends in a panic, a hang, wrong memory or a leak: its file
/// is named in the end. It begins with the target's corpus, tests/fuzz/corpus/TARGET, and keeps what it finds in
/// target/landfall/fuzz/TARGET, from where the next run goes on.
///
/// Any Rust will do, nightly or not; a C++ compiler is installed if there is none. Memory is watched by
/// AddressSanitizer where the toolchain has it. `cargo landfall test` plays the corpus too, without libFuzzer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall fuzz --list                       the targets\n  \
    cargo landfall fuzz ip_stack --minutes 10        one of them\n  \
    cargo landfall fuzz                              all, one after the other\n  \
    cargo landfall fuzz http --input crash-1234      one input again, with its panic\n  \
    cargo landfall fuzz http --keep                  a small choice of what was found, into the repository")]
pub(crate) struct Arguments {
    /// The target, as --list has it; all without
    target: Option<String>,
    /// How long each target is fuzzed
    #[arg(long, value_name = "N", default_value_t = 1)]
    minutes: u32,
    /// List the targets
    #[arg(long, conflicts_with_all = ["target", "input", "keep"])]
    list: bool,
    /// Play this one input and nothing else
    #[arg(
        long,
        value_name = "FILE",
        requires = "target",
        conflicts_with = "keep"
    )]
    input: Option<PathBuf>,
    /// Reduce the target's corpus, with what was found, to few files that reach the same; fuzz nothing
    #[arg(long, requires = "target")]
    keep: bool,
}

/// Builds and fuzzes.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if arguments.list {
        return list(&workspace);
    }
    let targets = match &arguments.target {
        Some(name) => vec![workspace.fuzz_target(name)?],
        None => workspace.fuzz_targets()?,
    };
    if let Some(input) = &arguments.input {
        // Before the build: a file that is not there should not cost its time.
        ensure!(input.is_file(), "there is no file {}", input.display());
    }
    let sanitizer = Sanitizer::find()?;
    eprintln!("fuzz: {}", sanitizer.how());
    let programs = build::build(&workspace, &targets, &sanitizer)?;
    let mut all_well = true;
    for (target, program) in targets.iter().zip(programs) {
        let bench = Bench::new(&workspace, target, program)?;
        all_well &= match (&arguments.input, arguments.keep) {
            (Some(input), _) => bench.play(input)?,
            (None, true) => bench.keep()?,
            (None, false) => bench.fuzz(arguments.minutes)?,
        };
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn list(workspace: &Workspace) -> Result<ExitCode> {
    let rows: Vec<[String; 3]> = workspace
        .fuzz_targets()?
        .into_iter()
        .map(|target| {
            let files = std::fs::read_dir(&target.corpus).map_or(0, Iterator::count);
            [target.name, files.to_string(), target.summary]
        })
        .collect();
    print_table(["TARGET", "CORPUS", "WHAT"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// One target, ready to run.
struct Bench<'a> {
    target: &'a FuzzTarget,
    program: PathBuf,
    /// What is found.
    folder: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(workspace: &Workspace, target: &'a FuzzTarget, program: PathBuf) -> Result<Self> {
        let folder = workspace
            .target_directory()
            .join("landfall/fuzz")
            .join(&target.name);
        std::fs::create_dir_all(folder.join("corpus"))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            target,
            program,
            folder,
        })
    }

    /// The fuzzer with the limits that hold for every input.
    fn command(&self) -> Command {
        let mut command = process::supervised(&self.program);
        command
            .arg(format!("-timeout={SLOWEST_S}"))
            .arg(format!("-rss_limit_mb={MOST_MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", self.folder.display()))
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }

    fn found(&self) -> PathBuf {
        self.folder.join("corpus")
    }

    /// Fuzzes; returns whether nothing was found that does harm.
    fn fuzz(&self, minutes: u32) -> Result<bool> {
        let time = Duration::from_secs(60 * u64::from(minutes));
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={}", time.as_secs()))
            .args([&self.found(), &self.target.corpus]);
        let mut guard = ChildGuard::spawn(command.stderr(Stdio::piped()))?;
        let output = guard.child().stderr.take().context("it is a pipe")?;
        let mut progress = Progress::new(&self.target.name, time);
        let harmful = progress.follow(output)?;
        let status = guard
            .wait_until(None)?
            .context("the wait without a deadline ends with a status")?;
        progress.finish();
        if status.success() {
            return Ok(true);
        }
        self.report(harmful.as_deref(), &process::describe(status));
        Ok(false)
    }

    fn report(&self, harmful: Option<&Path>, how: &str) {
        let name = &self.target.name;
        let Some(input) = harmful else {
            println!("{name}: the fuzzer ended with {how}");
            return;
        };
        let (input, corpus) = (shown(input), shown(&self.target.corpus));
        println!(
            "{name}: this input does harm: {input}\n  \
             again:    cargo landfall fuzz {name} --input {input}\n  \
             once mended, it belongs into {corpus}"
        );
    }

    /// Plays one input, with all that is said; returns whether it did no harm.
    fn play(&self, input: &Path) -> Result<bool> {
        let status = process::run(self.command().arg(input))?;
        match status.success() {
            true => println!("{}: no harm", self.target.name),
            false => println!("{}: {}", self.target.name, process::describe(status)),
        }
        Ok(status.success())
    }

    /// Makes the corpus anew, of few and small inputs of old and new that reach most of what all reach. Those with a name
    /// of their own stay.
    fn keep(&self) -> Result<bool> {
        let corpus = &self.target.corpus;
        let fresh = tempfile::tempdir_in(&self.folder)?;
        let mut command = self.command();
        command
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .arg(fresh.path())
            .args([corpus, &self.found()])
            .stderr(Stdio::null());
        process::run_checked(&mut command, "the choice of inputs")?;
        for old in files(corpus)?.iter().filter(|path| is_libfuzzers(path)) {
            std::fs::remove_file(old)?;
        }
        let mut room = MOST_BYTES;
        for new in files(fresh.path())?.into_iter().take(MOST_FILES) {
            let bytes = new.metadata()?.len();
            if let (Some(left), Some(name)) = (room.checked_sub(bytes), new.file_name()) {
                room = left;
                std::fs::copy(&new, corpus.join(name))?;
            }
        }
        println!("{}: {} files", shown(corpus), files(corpus)?.len());
        Ok(true)
    }
}

/// Returns the files in a folder, the longest first: mostly they reach the most.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |data| data.len())));
    Ok(files)
}

/// Returns whether libFuzzer named a file: by a hash of what is in it.
fn is_libfuzzers(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.chars().all(|letter| letter.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_with_a_name_of_their_own_are_known() {
        let hash = "/x/ef935e0b0848ab2e0d56799bead599d161b314ee";
        assert!(is_libfuzzers(Path::new(hash)));
        for own in [
            "/x/little-window",
            "/x/seed0",
            "/x/xef935e0b0848ab2e0d56799bead599d161b314e",
        ] {
            assert!(!is_libfuzzers(Path::new(own)), "{own}");
        }
    }
}
