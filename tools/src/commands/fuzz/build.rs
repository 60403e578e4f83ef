//! Programs of fuzzers: the compiler marks each branch and comparison (SanitizerCoverage), so that libFuzzer sees where an
//! input leads.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::{Compilers, Pages, executables, message_format};
use crate::registry::{FUZZERS, FuzzTarget, Workspace};
use crate::setup::programs;
use crate::setup::toolchain::UserRust;

/// What rustc tells LLVM, as libFuzzer wants it (LLVM's SanitizerCoverage).
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Whether memory is watched.
pub(super) struct Sanitizer {
    rust: UserRust,
    has_runtime: bool,
}

impl Sanitizer {
    /// Looks for AddressSanitizer in the user's toolchain: rustup's have it, distributions' often do not.
    pub(super) fn find() -> Result<Self> {
        let rust = UserRust::load()?;
        let library = rust.library();
        let files = std::fs::read_dir(&library)
            .with_context(|| format!("cannot read {}", library.display()))?;
        let has_runtime = files.flatten().any(|file| {
            let name = file.file_name();
            name.to_string_lossy().ends_with("_rt.asan.a")
        });
        Ok(Self { rust, has_runtime })
    }

    /// Says it in words.
    pub(super) fn how(&self) -> String {
        let with = match self.has_runtime {
            true => "with AddressSanitizer",
            false => "without AddressSanitizer, which this toolchain does not have",
        };
        format!("Rust {}, {with}", self.rust.version)
    }
}

/// Builds the programs of these targets; returns where they are, in the same order.
pub(super) fn build(
    workspace: &Workspace,
    targets: &[FuzzTarget],
    sanitizer: &Sanitizer,
) -> Result<Vec<PathBuf>> {
    programs::CXX.get()?;
    let host = &sanitizer.rust.host;
    let mut flags = COVERAGE.to_vec();
    flags.extend(sanitizer.has_runtime.then_some("-Zsanitizer=address"));
    // An array of strings is the same in JSON and in TOML. A page that a build script compiles gets none of these.
    let flags = serde_json::Value::from(flags);
    let mut compilers = Compilers::new(workspace);
    let words = ["build", "--profile=fuzz", message_format()];
    let mut command = compilers.command(&words, None, Pages::Needed)?;
    command
        .args(["--package", FUZZERS, "--features", "libfuzzer"])
        .args(["--target", host])
        .args(["--config", &format!("target.{host}.rustflags={flags}")])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if sanitizer.has_runtime {
        // The option is one of nightly compilers' otherwise.
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.args(targets.iter().flat_map(|target| ["--bin", &target.name]));
    let built = executables(&mut command, "the build of the fuzzers")?;
    let find = |target: &FuzzTarget| {
        let mut built = built.iter();
        let program = built.find(|path| path.file_stem().is_some_and(|it| *it == *target.name));
        program
            .cloned()
            .with_context(|| format!("cargo made no program {}", target.name))
    };
    targets.iter().map(find).collect()
}
