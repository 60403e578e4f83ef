//! The board `cubieboard2`: an ARMv7 guest of Xen, as `xl create` starts it on a Cubieboard2.
//!
//! It differs from `xenvm` in the CPU alone, which is `landfall-arch`'s and `xen-arm`'s affair: the device
//! tree tells the rest. So the board is that one under another name.
#![cfg(target_os = "none")]
#![no_std]
#![forbid(unsafe_code)]

use landfall::App;
use landfall_xenvm::XenVm;

/// Boots the machine that `device_tree` (its physical address) describes, and runs `app` on it.
pub fn start(device_tree: usize, app: App) -> ! {
    static BOARD: XenVm = XenVm("cubieboard2");
    landfall_xenvm::start_as(&BOARD, device_tree, app)
}
