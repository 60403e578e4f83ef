//! Device drivers. They know registers and rings but no address: a board finds a device in its
//! device tree and hands its registers over.
//!
//! | file | device | trait towards the runtime |
//! |---|---|---|
//! | `axp209` | AXP209 power management chip, on any I2C bus | |
//! | `gic` | GICv2, GICv3 interrupt controllers | |
//! | `pl011` | PL011 UART | |
//! | `pl031` | PL031 real-time clock | |
//! | `sun4i_a10` | clocks and memory of the A10's and A20's Ethernet | |
//! | `sun4i_emac` | Ethernet of Allwinner's A10 and A20 | [`embassy_net_driver::Driver`] |
//! | `sun4i_intc` | interrupt controller of the A10 | |
//! | `sun4i_timer` | timers of the A10 and A20 | |
//! | `sun8i_emac` | Ethernet of Allwinner's H3 and its kin, with its PHY | [`embassy_net_driver::Driver`] |
//! | `phy` | Ethernet PHYs, by MDIO | |
//! | `sun8i_h3` | clocks, resets and wiring of the H3's Ethernet | |
//! | `sunxi_i2c` | Allwinner's I2C controllers, and their clocks | [`embedded_hal::i2c::I2c`] |
//! | `sunxi_pio` | Allwinner's port controllers: GPIO, and whose the pins are | [`embedded_hal::digital`] |
//! | `sunxi_watchdog` | Allwinner's watchdogs | |
//! | `uart16550` | 16550 UART | |
//! | `virtio` | virtio-mmio transport: network, entropy | [`embassy_net_driver::Driver`] |
#![no_std]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod axp209;
pub mod dma;
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
pub mod gic;
pub mod interrupt;
pub mod phy;
pub mod pl011;
pub mod pl031;
pub mod sun4i_a10;
pub mod sun4i_emac;
pub mod sun4i_intc;
pub mod sun4i_timer;
pub mod sun8i_emac;
pub mod sun8i_h3;
pub mod sunxi_i2c;
pub mod sunxi_pio;
pub mod sunxi_watchdog;
pub mod uart16550;
pub mod virtio;
