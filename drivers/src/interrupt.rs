//! What leads from a device's interrupt to the task that waits for the device.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Context;
use embassy_sync::waitqueue::AtomicWaker;

/// Wakes the task that waits for a device; the device's interrupt calls it.
pub struct Interrupt {
    waker: AtomicWaker,
    signalled: AtomicBool,
}

impl Interrupt {
    /// Makes one that wakes nobody yet.
    pub const fn new() -> Self {
        Self {
            waker: AtomicWaker::new(),
            signalled: AtomicBool::new(false),
        }
    }

    /// Wakes the task that waits for the device.
    ///
    /// The device's own interrupt status is read by the driver, when that task runs.
    pub fn signal(&self) {
        self.signalled.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Returns whether there was an interrupt since this was last asked.
    pub(crate) fn was_signalled(&self) -> bool {
        self.signalled.swap(false, Ordering::Relaxed)
    }

    /// Has the task be woken at the next interrupt.
    pub(crate) fn listen(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
