//! What the device tree says about this machine, read once, before there is a heap.

use landfall_bare_metal::{
    machine::{Core, interrupt, tree_at},
    uart,
};
use landfall_device_tree::{Device, DeviceTree, DeviceTreeError, Registers};
use landfall_drivers::gic::{InterruptId, Signal};

/// The devices of this machine.
pub(crate) struct Machine {
    pub(crate) core: Core,
    pub(crate) console: Option<Registers>,
    pub(crate) timer: Option<Timer>,
    pub(crate) devices: Devices,
}

/// What the time is counted by.
pub(crate) enum Timer {
    /// The CPU's own.
    Generic,
    /// That of an A10.
    Sun4i(Registers),
}

/// What not every machine has.
#[derive(Default)]
pub(crate) struct Devices {
    /// The interrupt controller of an A10, which has no GIC.
    pub(crate) interrupt_controller: Option<Registers>,
    /// The timers of an A10 or A20, and the first one's interrupt.
    timers: Option<(Registers, (InterruptId, Signal))>,
    /// The clock control unit.
    pub(crate) clocks: Option<Registers>,
    /// The system control.
    pub(crate) system_control: Option<Registers>,
    pub(crate) ethernet: Option<Ethernet>,
    /// An A20's other Ethernet controller, if it is wired by MII: its address.
    gmac: Option<Option<[u8; 6]>>,
    pub(crate) watchdog: Option<Watchdog>,
}

/// The Ethernet controller.
pub(crate) struct Ethernet {
    pub(crate) kind: EthernetKind,
    pub(crate) registers: Registers,
    pub(crate) interrupt: Option<(InterruptId, Signal)>,
    pub(crate) mac: Option<[u8; 6]>,
}

/// Which Ethernet controller it is.
#[derive(Clone, Copy)]
pub(crate) enum EthernetKind {
    /// The A10's and A20's EMAC.
    Sun4i {
        /// Its pins are connected to the other controller, GMAC.
        takes_pins: bool,
    },
    /// The H3's EMAC.
    Sun8i {
        /// Its PHY is the one on the chip, and not one by RGMII.
        is_phy_on_chip: bool,
    },
}

/// The watchdog, of either kind.
pub(crate) enum Watchdog {
    Sun4i(Registers),
    Sun6i(Registers),
}

impl Machine {
    /// Reads the tree at `address`, and starts the console as soon as it is found.
    ///
    /// # Errors
    /// [`DeviceTreeError`].
    pub(crate) fn read(address: usize) -> Result<Self, DeviceTreeError> {
        let words = tree_at(address)?;
        let tree = DeviceTree::new(words)?;
        let console = tree.console()?.filter(uart::init);
        let mut devices = Devices::default();
        // First of all, for by it the interrupts of all others are read.
        tree.for_each_device(|device| devices.add_interrupt_controller(&device))?;
        let mut core = Core::read(words, |device| devices.add(device))?;
        if devices.ethernet.is_none() {
            tree.for_each_disabled_device(|device| devices.add_instead_of_gmac(&device))?;
        }
        let timer = match (core.timer, &devices.timers) {
            (Some(_), _) => Some(Timer::Generic),
            (None, Some((registers, interrupt))) => {
                core.timer = Some(*interrupt);
                Some(Timer::Sun4i(registers.clone()))
            }
            (None, None) => None,
        };
        Ok(Self {
            core,
            console: console.and_then(|it| it.registers(0)),
            timer,
            devices,
        })
    }

    /// Returns the registers of the devices that only this board uses.
    pub(crate) fn registers(&self) -> impl Iterator<Item = Registers> {
        let devices = &self.devices;
        let timers = devices.timers.as_ref().map(|it| it.0.clone());
        let ethernet = devices.ethernet.as_ref().map(|it| it.registers.clone());
        let watchdog = devices.watchdog.as_ref().map(|it| match it {
            Watchdog::Sun4i(registers) | Watchdog::Sun6i(registers) => registers.clone(),
        });
        let all = [
            self.console.clone(),
            devices.interrupt_controller.clone(),
            timers,
            devices.clocks.clone(),
            devices.system_control.clone(),
            ethernet,
            watchdog,
        ];
        all.into_iter().flatten()
    }
}

impl Devices {
    fn add_interrupt_controller(&mut self, device: &Device<'_>) {
        if device.is_compatible(&["allwinner,sun4i-a10-ic"]) {
            self.interrupt_controller = device.registers(0);
        }
    }

    fn add(&mut self, device: &Device<'_>) {
        const CLOCKS: [&str; 3] = [
            "allwinner,sun4i-a10-ccu",
            "allwinner,sun7i-a20-ccu",
            "allwinner,sun8i-h3-ccu",
        ];
        const SYSTEM_CONTROL: [&str; 2] = [
            "allwinner,sun4i-a10-system-control",
            "allwinner,sun8i-h3-system-control",
        ];
        if device.is_compatible(&CLOCKS) {
            self.clocks = device.registers(0);
        } else if device.is_compatible(&SYSTEM_CONTROL) {
            self.system_control = device.registers(0);
        } else if device.is_compatible(&["allwinner,sun4i-a10-timer"]) {
            self.timers = device.registers(0).zip(self.interrupt(device));
        } else if device.is_compatible(&EMAC) {
            self.ethernet = self.ethernet(device, EthernetKind::Sun4i { takes_pins: false });
        } else if device.is_compatible(&["allwinner,sun7i-a20-gmac"]) {
            let is_mii = device.property("phy-mode") == Some(b"mii\0");
            self.gmac = is_mii.then(|| mac(device));
        } else if device.is_compatible(&["allwinner,sun8i-h3-emac"]) {
            // Linux Documentation/devicetree/bindings/net/allwinner,sun8i-a83t-emac.yaml: the one on the chip speaks MII.
            let is_phy_on_chip = device.property("phy-mode") == Some(b"mii\0");
            self.ethernet = self.ethernet(device, EthernetKind::Sun8i { is_phy_on_chip });
        } else if device.is_compatible(&["allwinner,sun6i-a31-wdt"]) {
            self.watchdog = device.registers(0).map(Watchdog::Sun6i);
        } else if device.is_compatible(&["allwinner,sun4i-a10-wdt"]) {
            self.watchdog = device.registers(0).map(Watchdog::Sun4i);
        }
    }

    /// An A20 has both controllers at the same pins, and its maker's device tree prefers GMAC. By MII, EMAC speaks to the same
    /// PHY as well.
    fn add_instead_of_gmac(&mut self, device: &Device<'_>) {
        if let Some(mac) = self.gmac.filter(|_| device.is_compatible(&EMAC)) {
            let kind = EthernetKind::Sun4i { takes_pins: true };
            self.ethernet = self.ethernet(device, kind);
            if let Some(ethernet) = &mut self.ethernet {
                ethernet.mac = mac;
            }
        }
    }

    /// The first interrupt of a device: a number of the A10's controller, where there is one (Linux
    /// Documentation/devicetree/bindings/interrupt-controller/allwinner,sun4i-a10-ic.yaml).
    fn interrupt(&self, device: &Device<'_>) -> Option<(InterruptId, Signal)> {
        match self.interrupt_controller {
            Some(_) => Some((InterruptId(device.interrupt_of_one_cell(0)?), Signal::Level)),
            None => device.interrupt(0).and_then(interrupt),
        }
    }

    fn ethernet(&self, device: &Device<'_>, kind: EthernetKind) -> Option<Ethernet> {
        Some(Ethernet {
            kind,
            registers: device.registers(0)?,
            interrupt: self.interrupt(device),
            mac: mac(device),
        })
    }
}

const EMAC: [&str; 1] = ["allwinner,sun4i-a10-emac"];

/// The hardware address that U-Boot passes on (Linux Documentation/devicetree/bindings/net/ethernet-controller.yaml).
fn mac(device: &Device<'_>) -> Option<[u8; 6]> {
    let names = ["local-mac-address", "mac-address"];
    names
        .into_iter()
        .find_map(|name| device.property(name)?.try_into().ok())
}
