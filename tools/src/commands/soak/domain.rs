//! A guest of Xen in the lab, on bridge xenbr2, which is joined to a tap of the namespace.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::soaked::Soaked;
use crate::commands::wire::Far;
use crate::image::Cpu;
use crate::lab::agent::script;
use crate::lab::boot::Options;
use crate::lab::guests::Configuration;
use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::stay::Stay;
use crate::lab::tap::{BRIDGE, Joined};
use crate::network::{BRIDGED_TAPS, GUEST, GUEST_ARGUMENTS, Namespace};
use crate::process;
use crate::qemu::MemorySize;
use crate::server::{Running, Server};
use crate::xl::{Action, Config};

/// Its name in `xl list`.
const NAME: &str = "soak";
/// The memory of one that is given no other.
const MEMORY: MemorySize = MemorySize(64);
/// dom0's half of network cards (drivers/net/xen-netback of Linux).
const NETBACK: &str = "/sys/bus/xen-backend/drivers/vif";
/// How long netback may take to make a network card.
const PATIENCE: Duration = Duration::from_secs(10);

/// A domain. Dropped, it is gone, and the lab too if it was brought up for it.
pub(super) struct Domain {
    /// Xen's number of it.
    number: String,
    stay: Stay,
    /// Keeps the tap on the bridge.
    _joined: Joined,
}

impl Domain {
    /// Brings up the lab if there is none, and creates the domain.
    pub(super) fn new(
        cpu: Cpu,
        image: &Path,
        memory: Option<MemorySize>,
        namespace: &Namespace,
    ) -> Result<Self> {
        let options = Options::usual(Architecture::of(cpu));
        let stay = Stay::begin(Place::new(options.architecture)?, &options)?;
        let config = config(image, memory)?;
        for vif in &config.vifs {
            namespace.know(GUEST, &vif.mac.to_string())?;
        }
        namespace.add_bridge()?;
        let [tap, _] = BRIDGED_TAPS;
        let mut domain = Self {
            number: String::new(),
            _joined: namespace.inside(|| stay.lab().join(tap))?,
            stay,
        };
        let configuration = Configuration::parse(&config.text("soak.xl"), Path::new("."))?;
        domain.stay.lab().create(&configuration)?;
        domain.number = domain.dom0(&["xl", "domid", NAME])?.trim().to_owned();
        Ok(domain)
    }

    fn dom0(&self, words: &[&str]) -> Result<String> {
        self.stay.lab().agent().output(&script(words))
    }

    /// Takes its network card away from netback.
    pub(super) fn unbind(&self) -> Result<()> {
        self.netback("unbind")
    }

    /// Gives netback the card back, and does what the hotplug script of `xl create` does for a new one.
    pub(super) fn bind(&self) -> Result<()> {
        self.netback("bind")?;
        let number = &self.number;
        let line = format!(
            "ip link set vif{number}.0 master {BRIDGE} up && xenstore-write \
             /local/domain/0/backend/vif/{number}/0/hotplug-status connected"
        );
        let end = Instant::now() + PATIENCE;
        while let Err(error) = self.stay.lab().agent().output(&line) {
            process::check_stopped()?;
            if Instant::now() >= end {
                return Err(error);
            }
        }
        Ok(())
    }

    fn netback(&self, order: &str) -> Result<()> {
        let line = format!("echo vif-{}-0 > {NETBACK}/{order}", self.number);
        self.stay.lab().agent().output(&line).map(drop)
    }
}

fn config(image: &Path, memory: Option<MemorySize>) -> Result<Config> {
    let mut config = Config::new(NAME.parse()?, image.to_string_lossy().parse()?);
    config.memory = memory.unwrap_or(MEMORY);
    // Its end is what is looked for.
    config.on_crash = Action::Destroy;
    config.on_watchdog = Action::Destroy;
    for argument in GUEST_ARGUMENTS {
        config.arguments.push(argument.parse()?);
    }
    for vif in &mut config.vifs {
        vif.bridge = Some(BRIDGE.parse()?);
    }
    Ok(config)
}

impl Server for Domain {
    /// A command that shows the console and ends with the domain.
    fn command(&self, _namespace: &Namespace) -> Result<Command> {
        Ok(self.stay.lab().console(NAME))
    }

    fn host(&self) -> &str {
        GUEST
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }
}

impl Soaked for Domain {
    fn cable_end(&self) -> Option<Far> {
        let [_, tap] = BRIDGED_TAPS;
        Some(Far::Tap(tap.to_owned()))
    }

    fn pause(&self, _server: &Running) -> Result<()> {
        self.dom0(&["xl", "pause", NAME]).map(drop)
    }

    fn resume(&self, _server: &Running) -> Result<()> {
        self.dom0(&["xl", "unpause", NAME]).map(drop)
    }

    fn domain(&self) -> Option<&Domain> {
        Some(self)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // The end of the lab would be the domain's, too.
        if !self.stay.is_ours() {
            self.stay.lab().destroy(NAME);
        }
    }
}
