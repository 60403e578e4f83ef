//! What leads from a device's interrupt to the task that waits for the device.

use core::task::Context;
use embassy_sync::waitqueue::AtomicWaker;

/// Wakes the task that waits for a device; the device's interrupt calls it.
pub struct Interrupt(AtomicWaker);

impl Interrupt {
    /// Makes one that wakes nobody yet.
    pub const fn new() -> Self {
        Self(AtomicWaker::new())
    }

    /// Wakes the task that waits for the device.
    ///
    /// The device's own interrupt status is read by the driver, when that task runs.
    pub fn signal(&self) {
        self.0.wake();
    }

    /// Has the task be woken at the next interrupt.
    pub(crate) fn listen(&self, context: &Context<'_>) {
        self.0.register(context.waker());
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
