//! Guests of Xen, in the lab, beside Linux guests of the same Xen: start, memory, load.
//!
//! All are on bridge xenbr2. Starts are measured in dom0, where nothing else is between the client and the guest. The
//! clients of the load run on this machine, behind a tap on that bridge: in dom0, which is emulated, they would be slower
//! than what they measure. Bulk TCP is the exception, for the emulated network card does not cut long frames.

mod halting;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};

use self::halting::halting;
use super::Effort;
use super::boot::smallest;
use super::figure::{Figure, Sample, Samples};
use super::systems::{Host, Systems};
use super::table::{Column, Table};
use crate::image::Cpu;
use crate::lab::agent::Agent;
use crate::lab::boot::Options;
use crate::lab::guests::Configuration;
use crate::lab::linux_guest::{self, Kind};
use crate::lab::parts::Parts;
use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::stay::Stay;
use crate::lab::tap::{BRIDGE, Joined};
use crate::network::{Namespace, TAP};
use crate::process;
use crate::registry::{App, Board, Workspace};
use crate::server::{BulkClient, Server};

/// This machine's address on [`BRIDGE`]; dom0 has 10.78.0.1.
const HOST: &str = "10.78.0.2/24";

/// The number of the first guest, in its name and its addresses.
const FIRST: u8 = 10;

/// Where files are in dom0.
const FOLDER: &str = "/root/bench";

/// Run by dom0's bash.
const FIRST_ANSWER: &str = include_str!("xen/first_answer.sh");

const HOW_XL: &str = "`xl create` of an image of the same size that halts at once; dom0's clock";
const HOW_FIRST: &str = "from the start of `xl create` to the answer in dom0, `ip=`";
const HOW_REST: &str = "the difference";

/// Measures `apps` and Linux on the host that `board` is for.
pub(super) fn measure(
    workspace: &Workspace,
    board: &Board,
    cpu: Cpu,
    apps: Vec<App>,
    effort: Effort,
) -> Result<Table> {
    let dom0 = Rc::new(Dom0::find(cpu)?);
    Systems::get(dom0, workspace, board, cpu, apps)?.measure(workspace, effort)
}

/// The lab's dom0, and a network to it.
struct Dom0 {
    /// None where there can be no namespace.
    lan: Option<Lan>,
    stay: Stay,
    agent: Agent,
    /// Of its guests.
    cpu: Cpu,
    /// The number of the next guest.
    next: Cell<u8>,
}

/// The network behind a tap on [`BRIDGE`].
struct Lan {
    _joined: Joined,
    namespace: Rc<Namespace>,
}

impl Dom0 {
    fn find(cpu: Cpu) -> Result<Self> {
        let options = Options::usual(Architecture::of(cpu));
        let stay = Stay::begin(Place::new(options.architecture)?, &options)?;
        let lan = match Namespace::obstacle() {
            Some(_) => None,
            None => Some(Lan::join(&stay)?),
        };
        Ok(Self {
            lan,
            agent: stay.lab().agent(),
            stay,
            cpu,
            next: Cell::new(FIRST),
        })
    }

    /// A guest with the next number.
    fn guest(self: &Rc<Self>, kernel: PathBuf, memory: u32, patience: u32) -> Guest {
        let number = self.next.get();
        self.next.set(number + 1);
        Guest {
            dom0: Rc::clone(self),
            number,
            address: format!("10.78.0.{number}"),
            kernel,
            ramdisk: None,
            arguments: String::new(),
            memory,
            patience,
        }
    }
}

impl Lan {
    fn join(stay: &Stay) -> Result<Self> {
        let namespace = Namespace::with_address(HOST)?;
        Ok(Self {
            _joined: namespace.inside(|| stay.lab().join(TAP))?,
            namespace: Rc::new(namespace),
        })
    }
}

/// A guest that is measured.
struct Guest {
    dom0: Rc<Dom0>,
    /// By which its name and its addresses differ from others'.
    number: u8,
    address: String,
    kernel: PathBuf,
    ramdisk: Option<PathBuf>,
    arguments: String,
    /// MiB that are certainly enough.
    memory: u32,
    /// Seconds after which it serves at the latest.
    patience: u32,
}

impl Guest {
    fn name(&self) -> String {
        format!("bench-{}", self.number)
    }

    fn mac(&self) -> String {
        format!("00:16:3e:00:00:{:02x}", self.number)
    }

    /// Its configuration (xl.cfg(5)).
    fn configuration(&self, kernel: &Path, ramdisk: Option<&Path>, memory: u32) -> String {
        let ramdisk = ramdisk.map_or_else(String::new, |path| {
            format!("ramdisk = \"{}\"\n", path.display())
        });
        format!(
            "name = \"{}\"\nkernel = \"{}\"\n{ramdisk}memory = {memory}\nvcpus = 1\n\
             vif = [\"mac={},bridge={BRIDGE}\"]\nextra = \"{} ip={}/24\"\non_crash = \"destroy\"\n\
             on_reboot = \"destroy\"\n",
            self.name(),
            kernel.display(),
            self.mac(),
            self.arguments,
            self.address
        )
    }
}

impl Server for Guest {
    fn namespace(&self) -> Result<Rc<Namespace>> {
        let lan = self.dom0.lan.as_ref().context("no network to the lab")?;
        Ok(Rc::clone(&lan.namespace))
    }

    fn command(&self, namespace: &Namespace) -> Result<Command> {
        namespace.know(&self.address, &self.mac())?;
        let text = self.configuration(&self.kernel, self.ramdisk.as_deref(), self.memory);
        let lab = self.dom0.stay.lab();
        lab.create(&Configuration::parse(&text, Path::new("/"))?)?;
        Ok(lab.console(&self.name()))
    }

    fn host(&self) -> &str {
        &self.address
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.patience.into())
    }

    fn bulk_client(&self) -> BulkClient {
        BulkClient::InDom0(Architecture::of(self.dom0.cpu))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The end of the lab would be the guest's, too.
        if !self.dom0.stay.is_ours() {
            self.dom0.stay.lab().destroy(&self.name());
        }
    }
}

impl Host for Rc<Dom0> {
    type Guest = Guest;
    /// The 32-bit host has 1 GiB, half of it dom0's.
    const ROOMY: bool = false;

    fn landfall(&self, image: &Path) -> Guest {
        self.guest(image.to_owned(), 64, 15)
    }

    fn linux(&self, parts: &Parts, kind: Kind) -> Guest {
        let mut guest = self.guest(parts.linux(), 256, 30);
        guest.ramdisk = Some(parts.guest(kind));
        // A kernel that panics waits for ever where nobody says otherwise.
        let words = [linux_guest::ON_XEN, "panic=-1"].into_iter();
        guest.arguments = words.chain(kind.word()).collect::<Vec<_>>().join(" ");
        guest
    }

    fn start(&self, column: &mut Column<'_>, guest: &Guest, effort: Effort) -> Result<()> {
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
            let answered = times.answered.with_context(|| {
                format!(
                    "the guest did not answer; see `cargo landfall lab xen logs {}`",
                    guest.name()
                )
            })?;
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
    /// Copies a guest's files, and an image of the same size that halts.
    fn bring(&self, guest: &Guest) -> Result<()> {
        let agent = &self.agent;
        agent.output(&format!("mkdir -p {FOLDER}; rm -f {FOLDER}/*"))?;
        agent.put(
            FIRST_ANSWER.as_bytes(),
            &format!("{FOLDER}/first_answer.sh"),
        )?;
        let files = [Some(&guest.kernel), guest.ramdisk.as_ref()];
        for (file, name) in files.into_iter().zip(["kernel", "ramdisk"]) {
            let Some(file) = file else { continue };
            let data = std::fs::File::open(file)
                .with_context(|| format!("cannot open {}", file.display()))?;
            agent.put(data, &format!("{FOLDER}/{name}"))?;
        }
        let bytes = guest.kernel.metadata()?.len();
        agent.put(&halting(self.cpu, bytes)[..], &format!("{FOLDER}/halting"))
    }

    /// Creates a domain, waits for its answer for some seconds, and destroys it.
    fn create(&self, guest: &Guest, kernel: &str, memory: u32, patience: u32) -> Result<Times> {
        process::check_stopped()?;
        let times = self.create_and_keep(guest, kernel, memory, patience);
        let name = guest.name();
        self.agent.output(&format!(
            "xl destroy {name} 2>/dev/null; while xl domid {name} >/dev/null 2>&1; do usleep 50000; done"
        ))?;
        times
    }

    fn create_and_keep(
        &self,
        guest: &Guest,
        kernel: &str,
        memory: u32,
        patience: u32,
    ) -> Result<Times> {
        let folder = Path::new(FOLDER);
        let ramdisk = guest.ramdisk.as_ref().map(|_| folder.join("ramdisk"));
        let text = guest.configuration(&folder.join(kernel), ramdisk.as_deref(), memory);
        let path = format!("{FOLDER}/config.xl");
        self.agent.put(text.as_bytes(), &path)?;
        let [name, address] = [&guest.name(), &guest.address];
        let text = self.agent.output(&format!(
            "bash {FOLDER}/first_answer.sh {path} {name} {BRIDGE} {address} {patience}"
        ))?;
        Times::parse(&text).with_context(|| format!("dom0 printed no times: {text:?}"))
    }
}

/// The middle of some times.
fn median(times: Vec<u64>) -> Option<f64> {
    match Figure::from(times) {
        Figure::Number(samples) => Some(Samples::median(&samples)),
        Figure::Text(_) => None,
    }
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
}
