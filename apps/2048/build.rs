//! Builds the game for the page (`page/`, to WebAssembly), makes the service worker, compresses the
//! page's files and lists them, with media types and entity tags, in `$OUT_DIR/assets.rs`, which
//! `src/assets.rs` includes.
//!
//! The build inside the build takes its tools from these variables, which `cargo landfall` sets
//! where the toolchain has no WebAssembly target of its own:
//!
//! | variable | meaning | if unset |
//! |---|---|---|
//! | `LANDFALL_WASM_CARGO` | cargo | the cargo that runs this build |
//! | `LANDFALL_WASM_RUSTC` | compiler | the compiler of this build |
//! | `LANDFALL_WASM_LINKER` | linker, such as `rust-lld` | the compiler's own choice |
//! | `LANDFALL_WASM_FLAGS` | more arguments, separated by spaces: `-Zbuild-std=core` | none |

use std::env::{self, VarError};
use std::fs;
use std::hash::Hasher as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use flate2::{Compression, write::GzEncoder};

const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// What is served beside the service worker: path, file, media type. `game.wasm` is built, the rest are
/// in `page/assets`.
const ASSETS: [(&str, &str, &str); 7] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/style.css", "style.css", "text/css; charset=utf-8"),
    ("/game.js", "game.js", "text/javascript; charset=utf-8"),
    ("/common.js", "common.js", "text/javascript; charset=utf-8"),
    ("/server.js", "server.js", "text/javascript; charset=utf-8"),
    ("/game.wasm", "game.wasm", "application/wasm"),
    ("/icon.svg", "icon.svg", "image/svg+xml"),
];

/// What this build depends on, beside the variables above.
const SOURCES: [&str; 7] = [
    "game/Cargo.toml",
    "game/src",
    "page/Cargo.toml",
    "page/assets",
    "page/service-worker.js",
    "page/src",
    "../../Cargo.lock",
];

fn main() -> ExitCode {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?.ok_or("OUT_DIR is not set")?);
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?.ok_or("not run by cargo")?);
    let wasm = Wasm::from_environment()?.build(&root, &out.join("wasm"))?;
    let mut files = Vec::new();
    for (path, name, content_type) in ASSETS {
        let file = match name {
            "game.wasm" => wasm.clone(),
            _ => root.join("page/assets").join(name),
        };
        files.push(File {
            path,
            name,
            content_type,
            content: read(&file)?,
        });
    }
    let worker = service_worker(&root.join("page/service-worker.js"), &files)?;
    files.push(worker);
    let mut entries = String::new();
    for file in &files {
        entries.push_str(&file.asset(&out)?);
    }
    let table = format!(
        "pub(crate) static ASSETS: [Asset; {}] = [\n{entries}];\n",
        files.len()
    );
    write(out.join("assets.rs"), table.as_bytes()).map(drop)
}

/// Returns the service worker for these files. Its text changes with any of them, by which browsers
/// notice that there is a new version.
fn service_worker(template: &Path, files: &[File]) -> Result<File, String> {
    let template = String::from_utf8(read(template)?)
        .map_err(|error| format!("{}: {error}", template.display()))?;
    let contents = files
        .iter()
        .flat_map(|file| [file.path.as_bytes(), file.content.as_slice()]);
    let version = hash(contents.chain([template.as_bytes()]));
    let paths: Vec<_> = files.iter().map(|file| file.path).collect();
    let content = template
        .replace("{{version}}", &format!("{version:016x}"))
        .replace("{{paths}}", &format!("{paths:?}"));
    Ok(File {
        path: "/sw.js",
        name: "sw.js",
        content_type: "text/javascript; charset=utf-8",
        content: content.into_bytes(),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// A file of the page.
struct File {
    path: &'static str,
    name: &'static str,
    content_type: &'static str,
    content: Vec<u8>,
}

impl File {
    /// Returns the Rust expression of the asset, whose contents it writes to files of `out`.
    fn asset(&self, out: &Path) -> Result<String, String> {
        let Self {
            path,
            name,
            content_type,
            content,
        } = self;
        let hash = hash([content.as_slice()]);
        let body = write(out.join(name), content)?;
        let gzip = match compressed(content)? {
            Some(bytes) => {
                let body = write(out.join(format!("{name}.gz")), &bytes)?;
                format!(
                    "Some(Gzip {{ body: include_bytes!({body:?}), etag: \"\\\"{hash:016x}-gzip\\\"\" }})"
                )
            }
            None => "None".to_owned(),
        };
        Ok(format!(
            "    Asset {{\n        path: {path:?},\n        content_type: {content_type:?},\n        \
             body: include_bytes!({body:?}),\n        etag: \"\\\"{hash:016x}\\\"\",\n        \
             cache_control: \"no-cache\",\n        gzip: {gzip},\n    }},\n"
        ))
    }
}

/// FNV-1a is fixed for good, unlike std's hasher: the same file has the same tag in every build.
fn hash<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    contents
        .into_iter()
        .for_each(|content| hasher.write(content));
    hasher.finish()
}

/// Returns `content` in gzip's format if that is at least a tenth shorter.
fn compressed(content: &[u8]) -> Result<Option<Vec<u8>>, String> {
    // Without a name and a time, which differ from build to build.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let result = encoder.write_all(content).and_then(|()| encoder.finish());
    let bytes = result.map_err(|error| format!("gzip: {error}"))?;
    Ok((bytes.len() * 10 < content.len() * 9).then_some(bytes))
}

fn write(file: PathBuf, content: &[u8]) -> Result<PathBuf, String> {
    fs::write(&file, content).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// The tools of the nested build.
struct Wasm {
    cargo: String,
    rustc: String,
    linker: Option<String>,
    flags: Vec<String>,
}

impl Wasm {
    fn from_environment() -> Result<Self, String> {
        let either = |first: &str, second: &str| match setting(first)? {
            Some(value) => Ok::<_, String>(value),
            None => variable(second)?.ok_or_else(|| format!("{second} is not set")),
        };
        let flags = setting("LANDFALL_WASM_FLAGS")?.unwrap_or_default();
        Ok(Self {
            cargo: either("LANDFALL_WASM_CARGO", "CARGO")?,
            rustc: either("LANDFALL_WASM_RUSTC", "RUSTC")?,
            linker: setting("LANDFALL_WASM_LINKER")?,
            flags: flags.split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// Builds the page's crate and returns the module.
    fn build(&self, root: &Path, target_directory: &Path) -> Result<PathBuf, String> {
        self.require_target()?;
        let output = self
            .command(root, target_directory)?
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.cargo))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "the page's WebAssembly does not build\n{}",
                said.trim_end()
            ));
        }
        Ok(target_directory
            .join(WASM_TARGET)
            .join("release/page_2048.wasm"))
    }

    fn command(&self, root: &Path, target_directory: &Path) -> Result<Command, String> {
        let mut command = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(belongs_to_outer_build) {
                command.env_remove(name);
            }
        }
        command
            .current_dir(root)
            .args([
                "build",
                "--release",
                "--package",
                "page-2048",
                "--target",
                WASM_TARGET,
            ])
            .arg("--target-dir")
            .arg(target_directory)
            .args(&self.flags)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags()?)
            // A page's game has to be small before it has to be fast.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
            .env("CARGO_PROFILE_RELEASE_LTO", "fat")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        if let Some(linker) = &self.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        // A stable cargo takes unstable flags only so.
        if self.flags.iter().any(|flag| flag.starts_with("-Z")) {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        Ok(command)
    }

    /// Returns the compiler's flags: names of this machine's folders stay out of the module.
    fn rustc_flags(&self) -> Result<String, String> {
        let sysroot = self.ask_rustc(&["--print", "sysroot"])?;
        Ok(format!(
            "--remap-path-prefix={sysroot}/lib/rustlib/src/rust=/rust"
        ))
    }

    /// Says what to do where the compiler has no core library for WebAssembly.
    fn require_target(&self) -> Result<(), String> {
        if self.flags.iter().any(|flag| flag.contains("build-std")) {
            return Ok(());
        }
        let libraries = self.ask_rustc(&["--print", "target-libdir", "--target", WASM_TARGET])?;
        let core = fs::read_dir(&libraries).is_ok_and(|mut files| {
            files.any(|file| {
                file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
            })
        });
        if core {
            return Ok(());
        }
        Err(format!(
            "the page of 2048 is built for {WASM_TARGET}, which this toolchain lacks: \
             run `rustup target add {WASM_TARGET}`, \
             or build with `cargo landfall build 2048`, which sets it up"
        ))
    }

    fn ask_rustc(&self, arguments: &[&str]) -> Result<String, String> {
        let failed = |said: &str| format!("{} {}: {said}", self.rustc, arguments.join(" "));
        let output = Command::new(&self.rustc)
            .args(arguments)
            .output()
            .map_err(|error| failed(&error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim_end()));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }
}

/// Returns whether a variable speaks of the build around this one, whose target, flags and wrappers
/// (clippy's, for one) must not reach the nested build. Network and registry settings go through.
fn belongs_to_outer_build(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    const PREFIXES: [&str; 8] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns one of the variables of the table above; cargo runs this build again if it changes.
fn setting(name: &str) -> Result<Option<String>, String> {
    println!("cargo::rerun-if-env-changed={name}");
    Ok(variable(name)?.filter(|value| !value.is_empty()))
}

fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
