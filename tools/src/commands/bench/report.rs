//! What is kept of a run: the table with the command, the versions and the date, as Markdown, JSON and a plot.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::chart;
use super::figure::{Figure, Samples};
use super::table::Table;
use crate::lab::parts::Parts;
use crate::lab::platform::Architecture;
use crate::qemu::shell_word;
use crate::registry::{Board, Loader, Workspace};
use crate::setup::programs::{self, Program};

/// What is in Linux guests, by the beginnings of Debian's packages.
const LINUX: [(&str, &str); 5] = [
    ("Linux guest's kernel", "linux-image-6"),
    ("Linux guest's nginx", "nginx "),
    ("Linux guest's iperf3", "iperf3 "),
    ("Linux guest's inetd", "openbsd-inetd "),
    ("Linux guest's busybox", "busybox-static "),
];

/// A run.
#[derive(Debug)]
pub(super) struct Report {
    /// The begin of the files' names.
    name: String,
    /// The words that repeat it.
    command: String,
    /// The day (UTC), as in 2026-11-26.
    date: String,
    /// What was measured with what, by name.
    versions: Vec<(&'static str, String)>,
    table: Table,
}

impl Report {
    /// Takes down what `table` was measured with; `landfall` is our version at the start of the run.
    ///
    /// # Errors
    /// If what Linux guests are made of cannot be found any more.
    pub(super) fn new(board: &Board, mode: &str, landfall: String, table: Table) -> Result<Self> {
        let words = std::env::args().skip(1).filter(|word| word != "landfall");
        let words = words.map(|word| shell_word(&word)).collect::<Vec<_>>();
        let date = date(SystemTime::now());
        let mut versions = vec![("Landfall", landfall)];
        let qemu = board.cpu().map(crate::image::Cpu::qemu);
        let programs = qemu.into_iter().chain([programs::WRK, programs::IPERF3]);
        versions.extend(programs.filter_map(|program| Some((program.name, version(program)?))));
        if let Some(cpu) = board.cpu().filter(|_| table.has_linux()) {
            let parts = Parts::get(Architecture::of(cpu).platform(), None)?;
            let packages = LINUX.iter();
            versions.extend(packages.filter_map(|(name, it)| Some((*name, parts.version(it)?))));
        }
        if let (Some(cpu), Some(Loader::Xl)) = (board.cpu(), board.loader) {
            let parts = Parts::get(Architecture::of(cpu).platform(), None)?;
            versions.extend(parts.version("xen-hypervisor-4").map(|it| ("Xen", it)));
        }
        versions.push(("this machine", machine()));
        Ok(Self {
            name: format!("{}{mode}-{date}", board.name),
            command: format!("cargo landfall {}", words.join(" ")),
            date,
            versions,
            table,
        })
    }

    /// Writes NAME.md, NAME.json and NAME.svg.
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let cannot = || format!("cannot write to {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot)?;
        let json = serde_json::to_string_pretty(&self.json())? + "\n";
        let plot = chart::draw(&format!("{}: {}", self.date, self.command), &self.table);
        let files = [("md", self.markdown()), ("json", json), ("svg", plot)];
        for (ending, text) in files {
            let path = folder.join(format!("{}.{ending}", self.name));
            std::fs::write(&path, text).with_context(cannot)?;
            eprintln!("bench: wrote {}", path.display());
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let versions = self.versions.iter();
        let versions: String = versions
            .map(|(name, version)| format!("- {name}: {version}\n"))
            .collect();
        let Self {
            name,
            command,
            date,
            table,
            ..
        } = self;
        format!(
            "# Measured on {date}\n\n`{command}`\n\n{versions}\n{READING}\n\n{table}\n\
             ![each measure as bars, the median of each system]({name}.svg)\n"
        )
    }

    fn json(&self) -> Value {
        let versions = self.versions.iter();
        let versions: serde_json::Map<String, Value> = versions
            .map(|(name, version)| ((*name).to_owned(), json!(version)))
            .collect();
        let rows = self.table.rows().iter().map(|row| {
            let figures = self.table.figures(row);
            let figures: Vec<Value> = figures.map(|(name, it)| figure(name, it)).collect();
            let ratios = self.table.ratios(row);
            let ratios: Vec<Value> = ratios.map(|(name, it)| samples(name, &it)).collect();
            json!({
                "measure": row.measure,
                "how": row.how,
                "figures": figures,
                "ratios_to_linux": ratios,
            })
        });
        json!({
            "command": self.command,
            "date": self.date,
            "versions": versions,
            "systems": self.table.systems().collect::<Vec<_>>(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

/// How a table is to be read.
const READING: &str = "\
Where something was measured several times, it says the median (and the smallest and the largest value). Load is put on \
one system after the other in each round; the ratio is that of each round, and again the median: how many times what \
Linux has we have. Of bytes, memory, time and instructions less is better. Whatever went wrong is said after the \
number; where nothing is said, nothing went wrong.";

fn figure(system: &str, figure: &Figure) -> Value {
    match figure {
        Figure::Number(number) => samples(system, number),
        Figure::Text(text) => json!({ "system": system, "text": text }),
    }
}

fn samples(system: &str, samples: &Samples) -> Value {
    json!({
        "system": system,
        "median": samples.median(),
        "least": samples.least(),
        "most": samples.most(),
        "samples": samples.values(),
        "errors": samples.errors(),
    })
}

/// The workspace's version and the commit that is built.
pub(super) fn own_version(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.current_dir(workspace.root());
    git.args(["describe", "--always", "--dirty", "--abbrev=12"]);
    let version = env!("CARGO_PKG_VERSION");
    match output(git) {
        Some(commit) => format!("{version}, commit {}", commit.trim()),
        None => format!("{version}, of no known commit"),
    }
}

/// The line in which a program names its version.
fn version(program: Program) -> Option<String> {
    let mut command = Command::new(program.find()?);
    // wrk knows only the short option, and iperf3's short one says as much as its long one.
    let option = if program.name.starts_with("qemu") {
        "--version"
    } else {
        "-v"
    };
    command.arg(option);
    let text = output(command)?;
    // What follows is where it comes from, and for iperf3 this machine's name.
    let line = text.lines().next()?;
    let line = line.split(" Copyright").next().unwrap_or(line);
    Some(line.trim().to_owned())
}

/// What a command prints, whatever its exit code: wrk's for its version is 1.
fn output(mut command: Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (!text.trim().is_empty()).then_some(text)
}

/// Processors and kernel of this machine.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("processors", |name| {
            name.trim_start_matches([' ', '\t', ':'])
        });
    let number = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel
        .split(['-', '+'])
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    format!(
        "{number} × {model}, {}, Linux {kernel}",
        std::env::consts::ARCH
    )
}

/// The day of a time in UTC, as in 2026-11-26.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let time = jiff::Timestamp::try_from(SystemTime::UNIX_EPOCH + since.unwrap_or(Duration::ZERO));
    let time = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut table = Table::new();
        table
            .column("hello")
            .add("requests/s", vec![20, 40, 30], "wrk");
        table.column("hello").add("load", "needs root", "");
        table
            .linux_column("Linux")
            .add("requests/s", vec![2, 2, 2], "wrk");
        Report {
            name: "virt-2026-11-26".to_owned(),
            command: "cargo landfall bench".to_owned(),
            date: "2026-11-26".to_owned(),
            versions: vec![("wrk", "4.1".to_owned())],
            table,
        }
    }

    #[test]
    fn dates_are_days() {
        let day = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(1_709_251_199), "2024-02-29");
    }

    #[test]
    fn json_has_all_samples_and_the_ratio() {
        let json = report().json();
        assert_eq!(json["date"], "2026-11-26");
        assert_eq!(json["versions"]["wrk"], "4.1");
        assert_eq!(json["systems"], json!(["hello", "Linux"]));
        let row = &json["rows"][0];
        assert_eq!(row["measure"], "requests/s");
        let hello = json!({
            "system": "hello", "median": 30.0, "least": 20.0, "most": 40.0,
            "samples": [20.0, 40.0, 30.0], "errors": [],
        });
        assert_eq!(row["figures"][0], hello);
        assert_eq!(row["ratios_to_linux"][0]["median"], 15.0);
        let text = json!([{ "system": "hello", "text": "needs root" }]);
        assert_eq!(json["rows"][1]["figures"], text);
    }

    #[test]
    fn markdown_names_the_command_and_the_plot() {
        let text = report().markdown();
        for part in [
            "`cargo landfall bench`",
            "- wrk: 4.1\n",
            "(virt-2026-11-26.svg)",
            "| requests/s |",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn three_files_are_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        report()
            .write(&folder.path().join("new"))
            .expect("it can be written");
        for ending in ["md", "json", "svg"] {
            assert!(
                folder
                    .path()
                    .join(format!("new/virt-2026-11-26.{ending}"))
                    .is_file()
            );
        }
    }
}
