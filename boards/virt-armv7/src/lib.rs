//! The board `virt-armv7`: the machine `virt` of QEMU with a 32-bit CPU, such as Cortex-A7 or A15.
//!
//! It differs from `virt` in the CPU alone, which is `landfall-arch`'s affair: the device tree tells the
//! rest. So the board is that one under another name.
#![cfg(target_os = "none")]
#![no_std]
#![forbid(unsafe_code)]

use landfall::App;
use landfall_virt::Virt;

/// Boots the machine that `device_tree` (its physical address) describes, and runs `app` on it.
pub fn start(device_tree: usize, app: App) -> ! {
    static BOARD: Virt = Virt("virt-armv7");
    landfall_virt::start_as(&BOARD, device_tree, app)
}
