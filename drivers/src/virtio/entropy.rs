//! virtio entropy device (OASIS virtio 1.2, 5.4), read once at boot.

use super::{IdentityHal, Slot};
use virtio_drivers::{Error, device::rng::VirtIORng};

/// Fills `seed` from the device; returns how many bytes it gave.
///
/// # Errors
/// What the transport reports.
pub fn read(slot: Slot, seed: &mut [u8]) -> Result<usize, Error> {
    VirtIORng::<IdentityHal, Slot>::new(slot)?.request_entropy(seed)
}
