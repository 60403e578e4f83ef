//! Virtio devices behind the memory-mapped transport (OASIS virtio 1.2, 4.2), which is that of the `virtio-drivers` crate;
//! queues are our own (`queue`).
//!
//! A board probes each slot of its device tree: [`probe`] names what is there, and the board makes
//! the driver for it.

pub mod entropy;
mod memory;
pub mod net;
mod queue;

use core::{fmt, ptr::NonNull};
pub use virtio_drivers::Error;
use virtio_drivers::transport::{
    DeviceType, Transport,
    mmio::{MmioError, MmioTransport},
};

/// The transport of one slot.
pub type Slot = MmioTransport<'static>;

/// What a slot holds.
#[derive(Debug)]
pub enum Device {
    /// No device: QEMU describes more slots than it fills.
    Empty,
    /// A network card.
    Network(Slot),
    /// A source of random bytes.
    Entropy(Slot),
    /// A device that no driver here is for; its name.
    Other(&'static str),
    /// Registers that are not virtio's.
    Odd(NotVirtio),
}

/// Why a slot cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotVirtio {
    /// The first register does not read "virt".
    Magic(u32),
    /// A version of the register layout that is not known.
    Version(u32),
    /// The slot is smaller than its registers.
    TooSmall(usize),
}

impl fmt::Display for NotVirtio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(value) => write!(f, "magic value {value:#010x} instead of 0x74726976"),
            Self::Version(value) => write!(f, "register layout version {value}, known are 1 and 2"),
            Self::TooSmall(bytes) => write!(f, "only {bytes} bytes of registers"),
        }
    }
}

impl core::error::Error for NotVirtio {}

/// Looks at the slot whose registers start at `registers` and are `bytes` long.
///
/// # Safety
/// 1. `registers` points to `bytes` of a virtio-mmio slot, mapped as device memory for good.
/// 2. Nothing else uses them from now on.
pub unsafe fn probe(registers: NonNull<u8>, bytes: usize) -> Device {
    // SAFETY: 1. and 2. are what `MmioTransport::new` asks for.
    match unsafe { Slot::new(registers.cast(), bytes) } {
        Ok(slot) => match slot.device_type() {
            DeviceType::Network => Device::Network(slot),
            DeviceType::EntropySource => Device::Entropy(slot),
            DeviceType::Block => Device::Other("block device"),
            DeviceType::Console => Device::Other("console"),
            _ => Device::Other("device without a driver"),
        },
        Err(MmioError::InvalidDeviceID(_)) => Device::Empty,
        Err(MmioError::BadMagic(value)) => Device::Odd(NotVirtio::Magic(value)),
        Err(MmioError::UnsupportedVersion(value)) => Device::Odd(NotVirtio::Version(value)),
        Err(MmioError::MmioRegionTooSmall) => Device::Odd(NotVirtio::TooSmall(bytes)),
    }
}
