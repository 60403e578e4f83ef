//! What the device tree says about this domain, read once, before there is a heap.

use landfall_bare_metal::machine::{Core, interrupt, tree_at};
use landfall_device_tree::{Device, DeviceTreeError, Registers};
use landfall_drivers::gic::{InterruptId, Signal};

/// The parts of this domain.
pub(crate) struct Machine {
    pub(crate) core: Core,
    /// What it has of Xen: nothing on a machine that Xen did not make.
    pub(crate) xen: Option<Xen>,
}

/// The node `xen,xen` (Linux Documentation/devicetree/bindings/arm/xen.txt).
pub(crate) struct Xen {
    /// Addresses for the grant table.
    pub(crate) grants: Registers,
    /// Raised when an event channel is pending.
    pub(crate) events: (InterruptId, Signal),
}

impl Machine {
    /// Reads the tree at `address`.
    ///
    /// # Errors
    /// [`DeviceTreeError`].
    pub(crate) fn read(address: usize) -> Result<Self, DeviceTreeError> {
        let mut xen = None;
        let core = Core::read(tree_at(address)?, |device| {
            xen = xen.take().or_else(|| Xen::of(device));
        })?;
        Ok(Self { core, xen })
    }
}

impl Xen {
    fn of(device: &Device<'_>) -> Option<Self> {
        if !device.is_compatible(&["xen,xen"]) {
            return None;
        }
        Some(Self {
            grants: device.registers(0)?,
            events: device.interrupt(0).and_then(interrupt)?,
        })
    }
}
