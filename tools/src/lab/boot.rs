//! Starts a lab: QEMU in the background, until dom0 says that it is ready.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::agent::secret;
use super::parts::Parts;
use super::place::{Place, Record};
use super::platform::{Architecture, Platform};
use super::tap::HUB;
use super::tree::Tree;
use super::{Lab, end, forward, initramfs};
use crate::process::{self, ChildGuard};
use crate::qemu::MemorySize;
use crate::qmp::Qmp;
use crate::setup::foreign::Mirror;

/// dom0's agent, at dom0's address on the bridge `xenbr0`.
const AGENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 100), 7);

/// How long dom0 may take. It takes some 20 s on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often the console is looked at.
const TICK: Duration = Duration::from_millis(50);

/// What dom0's `/init` puts before its lines.
const STEP: &str = "lab: ";

/// How many of the console's last lines an error shows.
const LAST_LINES: usize = 12;

/// How a lab is started.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The processor's architecture.
    pub(crate) architecture: Architecture,
    /// The version of the interrupt controller, 2 or 3.
    pub(crate) gic: u8,
    /// The memory of the whole machine: Xen, dom0 and guests.
    pub(crate) memory: MemorySize,
    /// Where packages come from, if not from the system's apt sources.
    pub(crate) mirror: Option<Mirror>,
}

impl Options {
    /// What a lab is where nobody says otherwise.
    pub(crate) fn usual(architecture: Architecture) -> Self {
        let platform = architecture.platform();
        Self {
            architecture,
            gic: platform.gics[0],
            memory: platform.memory,
            mirror: None,
        }
    }
}

/// Returns the lab at `place`, starting it if it is not up, and whether it was started.
pub(crate) fn up(place: &Place, options: &Options) -> Result<(Lab, bool)> {
    let _lock = place.lock()?;
    if let Some(lab) = Lab::find(place) {
        let [is, wanted] = [lab.record.architecture, options.architecture]
            .map(|architecture| architecture.platform().debian);
        ensure!(
            is == wanted,
            "the lab that is up is a host of {is}, not {wanted}: end it, or name another folder \
             for this one with LANDFALL_LAB"
        );
        return Ok((lab, false));
    }
    if let Some(record) = place.read() {
        eprintln!("lab: removing what a lab that is not up any more has left");
        end(place, &record)?;
    }
    let platform = options.architecture.platform();
    ensure!(
        platform.gics.contains(&options.gic),
        "Debian's Xen for {} has no driver for a GICv{}: leave --gic out",
        platform.debian,
        options.gic
    );
    let qemu = platform.qemu.get()?;
    let parts = Parts::get(platform, options.mirror.clone())?;
    let result = start(place, options, &qemu, &parts);
    if result.is_err() {
        place.clear(&[place.console(), place.complaints()])?;
    }
    result.map(|lab| (lab, true))
}

fn start(place: &Place, options: &Options, qemu: &PathBuf, parts: &Parts) -> Result<Lab> {
    let token = secret()?;
    write_initramfs(place, parts, &token)?;
    let mut command = Command::new(qemu);
    command.args(words(place, options, parts));
    let complaints =
        File::create(place.complaints()).context("cannot write to the lab's folder")?;
    // A group of its own: Ctrl-C in the terminal of a later command is not for it.
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(complaints);
    let mut guard = ChildGuard::spawn(&mut command)?;
    let mut record = Record {
        pid: guard.child().id(),
        architecture: options.architecture,
        gic: options.gic,
        memory: options.memory.to_string(),
        agent_port: 0,
        token,
        ready: false,
    };
    place.write(&record)?;
    let mut boot = Boot::new(place, &mut guard);
    record.agent_port = boot.open_agent()?;
    boot.wait()?;
    record.ready = true;
    let lab = Lab {
        place: place.clone(),
        record,
    };
    lab.agent()
        .output("true")
        .context("dom0 is up, but does not run commands")?;
    place.write(&lab.record)?;
    guard.release();
    Ok(lab)
}

/// Writes dom0's files, and after them an archive with the token: Linux unpacks one after the other.
fn write_initramfs(place: &Place, parts: &Parts, token: &str) -> Result<()> {
    let mut archive =
        File::create(place.initramfs()).context("cannot write to the lab's folder")?;
    let path = parts.initramfs();
    let mut files = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    std::io::copy(&mut files, &mut archive).context("cannot copy dom0's initramfs")?;
    let mut own = Tree::default();
    own.insert("lab/token", 0o600, token.as_bytes());
    initramfs::write(&own, BufWriter::new(archive))
}

/// Xen's command line. QEMU's GICv2 keeps an interrupt active for the CPU that took it, also when a guest
/// ends it on another: then it never comes again. So dom0, which has devices, stays where it is.
fn xen_arguments(platform: &Platform, gic: u8) -> String {
    let pinned = if gic == 2 { " dom0_vcpus_pin" } else { "" };
    format!("{}{pinned}", platform.xen_arguments)
}

/// QEMU's words.
fn words(place: &Place, options: &Options, parts: &Parts) -> Vec<String> {
    let platform: &Platform = options.architecture.platform();
    let loader = |address: u64, what: &str| format!("guest-loader,addr={address:#x},{what}");
    let kernel = format!(
        "kernel={},bootargs={}",
        comma(parts.linux()),
        platform.linux_arguments
    );
    let [qmp, qmp_address] = Qmp::words(&place.qmp());
    let options = [
        (
            "-M",
            format!("{},gic-version={}", platform.machine, options.gic),
        ),
        ("-cpu", platform.cpu.to_owned()),
        ("-smp", platform.cpus.to_string()),
        ("-m", options.memory.to_string()),
        ("-kernel", parts.xen().display().to_string()),
        ("-append", xen_arguments(platform, options.gic)),
        ("-device", loader(platform.kernel_address, &kernel)),
        (
            "-device",
            loader(
                platform.initramfs_address,
                &format!("initrd={}", comma(place.initramfs())),
            ),
        ),
        ("-netdev", "user,id=net0".to_owned()),
        ("-device", card("net0", 0)),
        // A hub, to which a tap can be added later. Frames must have somewhere to go before, or the card waits
        // for ever: a port that leads nowhere.
        ("-netdev", format!("hubport,id=lan,hubid={HUB}")),
        ("-netdev", format!("hubport,id=nowhere,hubid={HUB}")),
        ("-device", card("lan", 2)),
        ("-display", "none".to_owned()),
        ("-monitor", "none".to_owned()),
        ("-serial", format!("file:{}", place.console().display())),
        (qmp.as_str(), qmp_address),
    ];
    let mut words: Vec<String> = options
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect();
    words.push("-no-reboot".to_owned());
    words
}

/// A network card of dom0, for one of its bridges. `dom0/init` knows them by these addresses.
fn card(netdev: &str, bridge: u8) -> String {
    format!("virtio-net-device,netdev={netdev},mac=52:54:00:4c:46:{bridge:02x}")
}

/// A path as QEMU reads it among options: a comma is written twice.
fn comma(path: PathBuf) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A lab that is booting.
struct Boot<'a> {
    place: &'a Place,
    guard: &'a mut ChildGuard,
    started: Instant,
    shown: usize,
}

impl<'a> Boot<'a> {
    fn new(place: &'a Place, guard: &'a mut ChildGuard) -> Self {
        Self {
            place,
            guard,
            started: Instant::now(),
            shown: 0,
        }
    }

    /// Lets this process reach dom0's agent; returns the port.
    fn open_agent(&mut self) -> Result<u16> {
        let mut qmp = Qmp::connect(&self.place.qmp()).with_context(|| self.complaint())?;
        forward(&mut qmp, 0, AGENT)
    }

    /// Shows the steps of dom0's `/init` until the last one.
    fn wait(&mut self) -> Result<()> {
        loop {
            process::check_stopped()?;
            let text = self.console();
            let steps: Vec<&str> = text
                .lines()
                .filter_map(|line| line.trim_end().strip_prefix(STEP))
                .collect();
            for step in &steps[self.shown.min(steps.len())..] {
                eprintln!(
                    "{STEP}{step} ({:.1} s)",
                    self.started.elapsed().as_secs_f32()
                );
            }
            self.shown = steps.len();
            if steps.contains(&"ready") {
                return Ok(());
            }
            if let Some(reason) = failure(&text) {
                bail!("dom0 does not come up: {reason}{}", self.last_lines());
            }
            if self.guard.try_wait()?.is_some() {
                bail!("QEMU ended: {}{}", self.complaint(), self.last_lines());
            }
            if self.started.elapsed() > PATIENCE {
                bail!(
                    "dom0 is not up after {} s{}",
                    PATIENCE.as_secs(),
                    self.last_lines()
                );
            }
            std::thread::sleep(TICK);
        }
    }

    fn console(&self) -> String {
        let mut bytes = Vec::new();
        // QEMU makes the file soon after its start.
        let _missing =
            File::open(self.place.console()).and_then(|mut file| file.read_to_end(&mut bytes));
        // Only whole lines.
        let end = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    fn complaint(&self) -> String {
        let text = std::fs::read_to_string(self.place.complaints()).unwrap_or_default();
        text.lines()
            .next_back()
            .unwrap_or("it says nothing")
            .to_owned()
    }

    fn last_lines(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        format!("; the end of {}:\n  {last}", self.place.console().display())
    }
}

/// The line in which Xen, dom0's kernel or its `/init` gives up.
fn failure(console: &str) -> Option<&str> {
    const SIGNS: [&str; 3] = ["lab: failed: ", "Kernel panic", "Panic on CPU"];
    console
        .lines()
        .find(|line| SIGNS.iter().any(|sign| line.contains(sign)))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_boot_is_noticed() {
        assert_eq!(
            failure("lab: loading modules\nlab: failed: xenstored\r\n"),
            Some("lab: failed: xenstored")
        );
        assert!(failure("(XEN) Panic on CPU 0:\n").is_some());
        assert_eq!(failure("lab: starting xenstored\n"), None);
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(comma("/a,b/c".into()), "/a,,b/c");
    }
}
