//! dom0's files: Xen's tools, a few programs, the modules of its kernel, and the scripts in `dom0/`.

use super::recipe::{Own, Recipe};

/// What every dom0 of ours has: packages of programs, besides Xen's and the kernel.
pub(crate) const PACKAGES: &[&str] = &[
    // Nearly all of dom0's commands.
    "busybox-static",
    // Xen's hotplug scripts are written for it.
    "bash",
    // `ip`, for bridges: the scripts use it too.
    "iproute2",
    // `flock`, by which the scripts wait for each other.
    "util-linux",
    // `tail`, which shows at once what guests print: busybox's looks once in a second.
    "coreutils",
];

/// See [`PACKAGES`]: what of them goes in.
pub(crate) const WANTED: &[&str] = &[
    "etc/xen/",
    "usr/bin/bash",
    "usr/bin/busybox",
    "usr/bin/flock",
    "usr/bin/ip",
    "usr/bin/tail",
    "usr/bin/xenstore",
    "usr/lib/xen-",
    "usr/sbin/ip",
    "usr/sbin/xl",
];

/// See [`PACKAGES`]: modules of its kernel.
pub(crate) const MODULES: &[&str] = &[
    "virtio_mmio",
    "virtio_net",
    "bridge",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
    "xen-netback",
    "xen-blkback",
];

/// See [`PACKAGES`]: files of our own.
pub(crate) const OWN: &[Own] = &[
    ("start", 0o644, include_str!("dom0/start")),
    ("etc/group", 0o644, "root:x:0:\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/bash\n"),
];

/// The lab's dom0.
pub(crate) const LAB: Recipe = Recipe {
    packages: &[
        PACKAGES,
        &[
            // `tcpsvd`, which starts the agent for each connection.
            "ipsvd",    // `script`, which gives an interactive command a terminal.
            "bsdutils", // Frames of guests, for `cargo landfall trace`.
            "tcpdump",  // For measurements: bulk transfers.
            "iperf3",
        ],
    ],
    wanted: &[
        WANTED,
        &[
            "usr/bin/iperf3",
            "usr/bin/script",
            "usr/bin/tcpdump",
            "usr/bin/tcpsvd",
            "usr/sbin/tc",
        ],
    ],
    // `tc` needs the last three.
    modules: &[MODULES, &["sch_ingress", "cls_flower", "act_gact"]],
    own: &[
        OWN,
        &[
            ("init", 0o755, include_str!("dom0/init")),
            ("lab/agent", 0o755, include_str!("dom0/agent")),
            ("lab/follow", 0o755, include_str!("dom0/follow")),
            ("lab/xenbr0.conf", 0o644, include_str!("dom0/xenbr0.conf")),
            ("lab/xenbr1.conf", 0o644, include_str!("dom0/xenbr1.conf")),
        ],
    ],
};
