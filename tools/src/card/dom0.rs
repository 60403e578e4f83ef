//! The dom0 of a card with Xen: as small as one can be that creates guests, with the drivers of Allwinner's A20.

use crate::lab::dom0::{MODULES, OWN, PACKAGES, WANTED};
use crate::lab::recipe::Recipe;

/// How much of the board's memory it gets, in MiB.
pub(super) const MEMORY: u32 = 192;

/// What goes into it.
pub(super) const RECIPE: Recipe = Recipe {
    packages: &[
        PACKAGES,
        // sshd, for those who want to reach it.
        &["dropbear-bin"],
    ],
    wanted: &[WANTED, &["usr/sbin/dropbear"]],
    modules: &[
        MODULES,
        &[
            // The card, and where it is a disk: in QEMU.
            "sunxi-mmc",
            "virtio_blk",
            "nls_cp437",
            "nls_ascii",
            "vfat",
            // The power supplies of both.
            "i2c-mv64xxx",
            "axp20x-regulator",
            // The Ethernet port (Cubieboard2 and Cubietruck), and its PHY.
            "dwmac-sunxi",
            "realtek",
            // By which Linux restarts the board.
            "sunxi_wdt",
        ],
    ],
    own: &[
        OWN,
        &[
            ("init", 0o755, include_str!("dom0/init")),
            ("udhcpc", 0o755, include_str!("dom0/udhcpc")),
            // dropbear lets in only those whose shell is one.
            ("etc/shells", 0o644, "/bin/bash\n"),
        ],
    ],
};
