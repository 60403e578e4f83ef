//! Device drivers. They know registers and rings but no address: a board finds a device in its
//! device tree and hands its registers over.
//!
//! | file | device | trait towards the runtime |
//! |---|---|---|
//! | `gic` | GICv2, GICv3 interrupt controllers | |
//! | `pl011` | PL011 UART | |
//! | `pl031` | PL031 real-time clock | |
//! | `virtio` | virtio-mmio transport: network, entropy | [`embassy_net_driver::Driver`] |
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
pub mod gic;
pub mod pl011;
pub mod pl031;
pub mod virtio;
