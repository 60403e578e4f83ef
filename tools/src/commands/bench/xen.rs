//! Guests of Xen, in the lab, beside a minimal Linux guest of the same Xen: start, memory, load.
//!
//! dom0 is the client, over its bridge. One guest runs at a time.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::boot::smallest;
use super::figure::{Figure, Sample, Samples};
use super::scenarios::Direction;
use super::table::{Column, Table};
use super::{BULK, Effort, clients, size};
use crate::cargo::Compilers;
use crate::commands::build;
use crate::image::Cpu;
use crate::lab::agent::Agent;
use crate::lab::boot::Options;
use crate::lab::linux_guest::{self, Kind};
use crate::lab::parts::Parts;
use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::stay::Stay;
use crate::process;
use crate::registry::{App, Board, Workspace};

/// An address of bridge xenbr0 that its DHCP server gives to nobody.
const ADDRESS: &str = "10.0.2.200";

/// More requests than there is time for. ab keeps a record of each.
const MOST: u32 = 100_000;

/// How many connections ab holds.
const CONNECTIONS: [u32; 3] = [1, 10, 64];

/// Where the guests' files are in dom0.
const FOLDER: &str = "/root/bench";

/// Run by dom0's bash.
const FIRST_ANSWER: &str = include_str!("xen/first_answer.sh");

const HOW_XL: &str = "`xl create` of an image of the same size that halts at once; dom0's clock";
const HOW_FIRST: &str = "from the start of `xl create` to the answer in dom0, `ip=`";
const HOW_REST: &str = "the difference";
const HOW_LOAD: &str = "`ab -k` in dom0, over its bridge";
const HOW_BULK: &str = "`iperf3` in dom0, received";

/// Measures `apps` and Linux on the host that `board` is for.
pub(super) fn measure(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    let options = Options::usual(Architecture::of(cpu));
    let stay = Stay::begin(Place::new(options.architecture)?, &options)?;
    let dom0 = Dom0 {
        agent: stay.lab().agent(),
        cpu,
    };
    let mut compilers = Compilers::new(workspace);
    let mut build = |app: &App| {
        build::build(
            &mut compilers,
            app,
            board,
            &build::images_folder(workspace, board),
        )
    };
    let mut table = Table::new();
    for app in apps {
        let image = build(&app)?;
        let mut column = table.column(&app.name);
        size::measure(&mut column, workspace, &app, &image)?;
        let guest = Guest::landfall(image.path);
        dom0.measure(&mut column, &guest, effort)?;
        dom0.load(&mut column, &guest, effort)?;
    }
    let bulk = build(&workspace.app(BULK)?)?;
    let bulk = Guest::landfall(bulk.path);
    dom0.bulk(&mut table.column("bulk"), &bulk, effort)?;
    let parts = Parts::get(options.architecture.platform(), None)?;
    let mut column = table.linux_column("Linux");
    let linux = Guest::linux(&parts, Kind::Minimal);
    column.add("image, bytes", parts.guest_bytes(Kind::Minimal)?, size::HOW);
    dom0.measure(&mut column, &linux, effort)?;
    dom0.load(&mut column, &linux, effort)?;
    dom0.bulk(&mut column, &Guest::linux(&parts, Kind::Servers), effort)?;
    Ok(table)
}

/// A guest that is measured.
struct Guest {
    kernel: PathBuf,
    ramdisk: Option<PathBuf>,
    arguments: &'static str,
    /// MiB that are certainly enough.
    memory: u32,
    /// Seconds after which it serves at the latest.
    patience: u32,
}

impl Guest {
    fn landfall(kernel: PathBuf) -> Self {
        Self {
            kernel,
            ramdisk: None,
            arguments: "",
            memory: 32,
            patience: 5,
        }
    }

    fn linux(parts: &Parts, kind: Kind) -> Self {
        Self {
            kernel: parts.linux(),
            ramdisk: Some(parts.guest(kind)),
            arguments: linux_guest::ON_XEN,
            memory: 256,
            patience: 30,
        }
    }

    /// Its configuration (xl.cfg(5)), with `kernel`, a name in its folder of dom0.
    fn configuration(&self, kernel: &str, memory: u32) -> String {
        let ramdisk = match self.ramdisk {
            Some(_) => format!("ramdisk = \"{FOLDER}/ramdisk\"\n"),
            None => String::new(),
        };
        format!(
            "name = \"bench\"\nkernel = \"{FOLDER}/{kernel}\"\n{ramdisk}memory = {memory}\nvcpus = 1\n\
             vif = [\"mac=00:16:3e:00:00:c8,bridge=xenbr0\"]\n\
             extra = \"{} ip={ADDRESS}/24 gateway=10.0.2.2\"\non_crash = \"destroy\"\n",
            self.arguments
        )
    }
}

/// An image that halts at once, as long as another one is: the header of Linux' boot protocol, and PSCI's
/// SYSTEM_OFF (Arm DEN 0022, 5.10) by HVC.
fn halting(cpu: Cpu, bytes: u64) -> Vec<u8> {
    let mut image = match cpu {
        Cpu::Aarch64 => halting_aarch64(bytes),
        Cpu::Armv7 => halting_armv7(bytes),
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    image.resize(image.len().max(bytes), 0);
    image
}

/// A zImage (arch/arm/boot/compressed/head.S of Linux).
fn halting_armv7(bytes: u64) -> Vec<u8> {
    const MOV_R0_R0: u32 = 0xe1a0_0000;
    const BRANCH_OVER_HEADER: u32 = 0xea00_0003;
    const MAGIC: u32 = 0x016f_2818;
    const LITTLE_ENDIAN: u32 = 0x0403_0201;
    // movw r0, #8; movt r0, #0x8400; hvc #0; b .
    const CODE: [u32; 4] = [0xe300_0008, 0xe348_0400, 0xe140_0070, 0xeaff_fffe];
    // An image has no gigabytes.
    let header = [BRANCH_OVER_HEADER, MAGIC, 0, bytes as u32, LITTLE_ENDIAN];
    let words = [MOV_R0_R0; 8].into_iter().chain(header).chain(CODE);
    words.flat_map(u32::to_le_bytes).collect()
}

/// An arm64 image (Documentation/arch/arm64/booting.rst of Linux).
fn halting_aarch64(bytes: u64) -> Vec<u8> {
    const BRANCH_OVER_HEADER: u32 = 0x1400_0010;
    const TEXT_OFFSET: u64 = 0;
    const FLAGS: u64 = 0b1010;
    // movz w0, #8; movk w0, #0x8400, lsl #16; hvc #0; b .
    const CODE: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
    let mut image = Vec::new();
    image.extend(BRANCH_OVER_HEADER.to_le_bytes());
    image.extend([0; 4]);
    for word in [TEXT_OFFSET, bytes, FLAGS, 0, 0, 0] {
        image.extend(word.to_le_bytes());
    }
    image.extend(b"ARM\x64\0\0\0\0");
    image.extend(CODE.iter().flat_map(|word| word.to_le_bytes()));
    image
}

/// The lab's dom0.
struct Dom0 {
    agent: Agent,
    /// Of its guests.
    cpu: Cpu,
}

/// What `first_answer.sh` prints, in microseconds.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    created: u64,
    answered: Option<u64>,
}

impl Times {
    fn parse(text: &str) -> Option<Self> {
        let (created, answered) = text.trim().split_once(' ')?;
        Some(Self {
            created: created.parse().ok()?,
            answered: answered.parse().ok(),
        })
    }
}

impl Dom0 {
    /// Start and memory.
    fn measure(&self, column: &mut Column<'_>, guest: &Guest, effort: Effort) -> Result<()> {
        self.bring(guest)?;
        let mut halts = Vec::new();
        let mut answers = Vec::new();
        column.announce(&format!(
            "creating it {} times, and one that halts",
            effort.starts
        ));
        for _ in 0..effort.starts {
            halts.push(self.create(guest, "halting", guest.memory, 0)?.created / 1000);
            let times = self.create(guest, "kernel", guest.memory, guest.patience)?;
            let answered = times
                .answered
                .context("the guest did not answer; see `cargo landfall lab xen logs bench`")?;
            answers.push(answered / 1000);
        }
        column.add("xl's own time, ms", halts.clone(), HOW_XL);
        column.add("first answer, ms", answers.clone(), HOW_FIRST);
        if let Some(rest) = median(answers).zip(median(halts)) {
            let rest = Sample::from((rest.0 - rest.1).max(0.0));
            column.add("first answer after xl's own time, ms", rest, HOW_REST);
        }
        column.announce("looking for the smallest memory");
        let memory = smallest(guest.memory, |memory| {
            let times = self.create(guest, "kernel", memory, guest.patience);
            times?.answered.map(drop).context("no answer")
        })?;
        column.add(
            "smallest memory, MiB",
            u64::from(memory),
            "`memory=`, in steps of 1 MiB: boots and answers",
        );
        Ok(())
    }

    /// Requests per second.
    fn load(&self, column: &mut Column<'_>, guest: &Guest, effort: Effort) -> Result<()> {
        self.start(guest)?;
        for connections in CONNECTIONS {
            let seconds = effort.load_seconds;
            column.announce(&format!("{connections} connections for {seconds} s"));
            let report = self.agent.output(&format!(
                "ab -q -k -r -c {connections} -t {seconds} -n {MOST} http://{ADDRESS}:8080/"
            ))?;
            column.add(
                &format!("requests/s (connections: {connections})"),
                summary(&report)?,
                HOW_LOAD,
            );
        }
        self.destroy()
    }

    /// Bulk TCP both ways.
    fn bulk(&self, column: &mut Column<'_>, guest: &Guest, effort: Effort) -> Result<()> {
        self.bring(guest)?;
        self.start(guest)?;
        for streams in [1, 4] {
            for direction in [Direction::In, Direction::Out] {
                let measure = direction.measure(streams);
                column.announce(&measure);
                let report = self.agent.output(&format!(
                    "iperf3 --json --client {ADDRESS} --time {} --parallel {streams} {}",
                    effort.load_seconds,
                    direction.option().unwrap_or_default()
                ))?;
                let sample = Sample::from(clients::megabits(&report)?);
                column.add(&measure, sample, HOW_BULK);
            }
        }
        self.destroy()
    }

    /// Copies a guest's files, and an image of the same size that halts.
    fn bring(&self, guest: &Guest) -> Result<()> {
        self.agent
            .output(&format!("mkdir -p {FOLDER}; rm -f {FOLDER}/*"))?;
        self.agent.put(
            FIRST_ANSWER.as_bytes(),
            &format!("{FOLDER}/first_answer.sh"),
        )?;
        let files = [Some(&guest.kernel), guest.ramdisk.as_ref()];
        for (file, name) in files.into_iter().zip(["kernel", "ramdisk"]) {
            let Some(file) = file else { continue };
            let data = std::fs::File::open(file)
                .with_context(|| format!("cannot open {}", file.display()))?;
            self.agent.put(data, &format!("{FOLDER}/{name}"))?;
        }
        let bytes = guest.kernel.metadata()?.len();
        self.agent
            .put(&halting(self.cpu, bytes)[..], &format!("{FOLDER}/halting"))
    }

    /// Creates a domain, waits for its answer for some seconds, and destroys it.
    fn create(&self, guest: &Guest, kernel: &str, memory: u32, patience: u32) -> Result<Times> {
        process::check_stopped()?;
        let times = self.create_and_keep(guest, kernel, memory, patience);
        self.destroy()?;
        times
    }

    fn create_and_keep(
        &self,
        guest: &Guest,
        kernel: &str,
        memory: u32,
        patience: u32,
    ) -> Result<Times> {
        let path = format!("{FOLDER}/config.xl");
        self.agent
            .put(guest.configuration(kernel, memory).as_bytes(), &path)?;
        let text = self.agent.output(&format!(
            "bash {FOLDER}/first_answer.sh {path} {ADDRESS} {patience}"
        ))?;
        Times::parse(&text).with_context(|| format!("dom0 printed no times: {text:?}"))
    }

    /// Creates a domain, gives it the time that it needs, and keeps it.
    fn start(&self, guest: &Guest) -> Result<()> {
        self.create_and_keep(guest, "kernel", guest.memory, guest.patience)
            .map(drop)
    }

    /// Destroys the domain, if it is still there.
    fn destroy(&self) -> Result<()> {
        self.agent.output("xl destroy bench 2>/dev/null; while xl domid bench >/dev/null 2>&1; do usleep 50000; done").map(drop)
    }
}

/// The middle of some times.
fn median(times: Vec<u64>) -> Option<f64> {
    match Figure::from(times) {
        Figure::Number(samples) => Some(Samples::median(&samples)),
        Figure::Text(_) => None,
    }
}

/// Reads what ab printed.
fn summary(report: &str) -> Result<Sample> {
    let field = |name: &str| {
        let rest = report.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()
    };
    let rate = field("Requests per second:").and_then(|rate| rate.parse::<f64>().ok());
    let value = rate.with_context(|| format!("ab gave no result: {report}"))?;
    let mut errors = Vec::new();
    for (name, what) in [
        ("Failed requests:", "failed"),
        ("Non-2xx responses:", "with another status"),
    ] {
        if let Some(count) = field(name).filter(|count| *count != "0") {
            errors.push(format!("{count} {what}"));
        }
    }
    Ok(Sample {
        errors,
        ..value.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let times = |created, answered| Some(Times { created, answered });
        assert_eq!(Times::parse("2000 3000\n"), times(2000, Some(3000)));
        assert_eq!(Times::parse("2000 -\n"), times(2000, None));
        assert_eq!(Times::parse("bash: no"), None);
    }

    #[test]
    fn abs_report_is_read() {
        let report = |failed: &str| {
            format!(
                "Failed requests:        {failed}\nRequests per second:    2290.40 [#/sec] (mean)\n"
            )
        };
        let well = summary(&report("0")).expect("a report");
        assert_eq!((well.value, well.errors.len()), (2290.4, 0));
        let badly = summary(&report("7\nNon-2xx responses:      5")).expect("a report");
        assert_eq!(badly.errors, ["7 failed", "5 with another status"]);
        assert!(summary("apr_socket_connect(): refused").is_err());
    }

    #[test]
    fn what_halts_has_the_size_that_is_asked_for() {
        for cpu in [Cpu::Aarch64, Cpu::Armv7] {
            let image = halting(cpu, 344_192);
            assert_eq!(image.len(), 344_192);
            assert_eq!(Cpu::of_image(&image), Some(cpu));
        }
        assert_eq!(
            halting(Cpu::Aarch64, 344_192)[16..24],
            344_192_u64.to_le_bytes()
        );
        assert_eq!(
            halting(Cpu::Armv7, 344_192)[0x2c..0x30],
            344_192_u32.to_le_bytes()
        );
    }
}
