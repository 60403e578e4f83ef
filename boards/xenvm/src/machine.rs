//! What the device tree says about this domain, read once, before there is a heap.

use landfall_bare_metal::machine::{Core, interrupt, tree_at};
use landfall_device_tree::{Device, DeviceTreeError, Registers};
use landfall_drivers::gic::{InterruptId, Signal};

/// The parts of this domain.
pub(crate) struct Machine {
    pub(crate) core: Core,
    pub(crate) xen: Xen,
}

/// The node `xen,xen` (Linux Documentation/devicetree/bindings/arm/xen.txt).
#[derive(Default)]
pub(crate) struct Xen {
    /// Addresses for the grant table.
    pub(crate) grants: Option<Registers>,
    /// Raised when an event channel is pending.
    pub(crate) events: Option<(InterruptId, Signal)>,
}

impl Machine {
    /// Reads the tree at `address`.
    ///
    /// # Errors
    /// [`DeviceTreeError`].
    pub(crate) fn read(address: usize) -> Result<Self, DeviceTreeError> {
        let mut xen = Xen::default();
        let core = Core::read(tree_at(address)?, |device| xen.add(device))?;
        Ok(Self { core, xen })
    }
}

impl Xen {
    fn add(&mut self, device: &Device<'_>) {
        if device.is_compatible(&["xen,xen"]) {
            self.grants = device.registers(0);
            self.events = device.interrupt(0).and_then(interrupt);
        }
    }
}
