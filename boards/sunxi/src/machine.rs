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
    pub(crate) devices: Devices,
}

/// What not every machine has.
#[derive(Default)]
pub(crate) struct Devices {
    /// The clock control unit of an H3.
    pub(crate) clocks: Option<Registers>,
    /// The system control of an H3.
    pub(crate) system_control: Option<Registers>,
    pub(crate) ethernet: Option<Ethernet>,
    pub(crate) watchdog: Option<Watchdog>,
}

/// The Ethernet controller.
pub(crate) struct Ethernet {
    pub(crate) registers: Registers,
    pub(crate) interrupt: Option<(InterruptId, Signal)>,
    pub(crate) mac: Option<[u8; 6]>,
    /// Its PHY is the one on the chip, and not one by RGMII.
    pub(crate) is_phy_on_chip: bool,
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
        let console = DeviceTree::new(words)?.console()?.filter(uart::init);
        let mut devices = Devices::default();
        Ok(Self {
            core: Core::read(words, |device| devices.add(device))?,
            console: console.and_then(|it| it.registers(0)),
            devices,
        })
    }

    /// Returns the registers of the devices that only this board uses.
    pub(crate) fn registers(&self) -> impl Iterator<Item = Registers> {
        let devices = &self.devices;
        let ethernet = devices.ethernet.as_ref().map(|it| it.registers.clone());
        let watchdog = devices.watchdog.as_ref().map(|it| match it {
            Watchdog::Sun4i(registers) | Watchdog::Sun6i(registers) => registers.clone(),
        });
        let all = [
            self.console.clone(),
            devices.clocks.clone(),
            devices.system_control.clone(),
            ethernet,
            watchdog,
        ];
        all.into_iter().flatten()
    }
}

impl Devices {
    fn add(&mut self, device: &Device<'_>) {
        if device.is_compatible(&["allwinner,sun8i-h3-ccu"]) {
            self.clocks = device.registers(0);
        } else if device.is_compatible(&["allwinner,sun8i-h3-system-control"]) {
            self.system_control = device.registers(0);
        } else if device.is_compatible(&["allwinner,sun8i-h3-emac"]) {
            self.ethernet = Ethernet::of(device);
        } else if device.is_compatible(&["allwinner,sun6i-a31-wdt"]) {
            self.watchdog = device.registers(0).map(Watchdog::Sun6i);
        } else if device.is_compatible(&["allwinner,sun4i-a10-wdt"]) {
            self.watchdog = device.registers(0).map(Watchdog::Sun4i);
        }
    }
}

impl Ethernet {
    fn of(device: &Device<'_>) -> Option<Self> {
        let mac = ["local-mac-address", "mac-address"]
            .into_iter()
            .find_map(|name| device.property(name)?.try_into().ok());
        Some(Self {
            registers: device.registers(0)?,
            interrupt: device.interrupt(0).and_then(interrupt),
            mac,
            // Linux Documentation/devicetree/bindings/net/allwinner,sun8i-a83t-emac.yaml: the one on the chip speaks MII.
            is_phy_on_chip: device.property("phy-mode") == Some(b"mii\0"),
        })
    }
}
