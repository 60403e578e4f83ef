//! dom0's files: Xen's tools, a few programs, the modules of its kernel, and the scripts in `dom0/`.

use anyhow::Result;

use super::tree::Tree;
use super::{libraries, modules};

/// Packages of programs that dom0 runs, besides Xen's and the kernel.
pub(crate) const PACKAGES: [&str; 10] = [
    // Nearly all of dom0's commands.
    "busybox-static",
    // Xen's hotplug scripts are written for it.
    "bash",
    // `ip` and `tc`, for bridges: the scripts use them too.
    "iproute2",
    // `flock`, by which the scripts wait for each other.
    "util-linux",
    // `tcpsvd`, which starts the agent for each connection.
    "ipsvd",
    // `script`, which gives an interactive command a terminal.
    "bsdutils",
    // `tail`, which shows at once what guests print: busybox's looks once in a second.
    "coreutils",
    // Frames of guests, for `cargo landfall trace`.
    "tcpdump",
    // For measurements: bulk transfers, and `ab`, which asks for pages. (Debian's wrk for armhf crashes.)
    "iperf3",
    "apache2-utils",
];

/// What of the packages goes into the initramfs: files and folders, by the beginnings of their paths.
const WANTED: [&str; 16] = [
    "etc/xen/",
    "usr/bin/ab",
    "usr/bin/bash",
    "usr/bin/busybox",
    "usr/bin/flock",
    "usr/bin/ip",
    "usr/bin/iperf3",
    "usr/bin/script",
    "usr/bin/tail",
    "usr/bin/tcpdump",
    "usr/bin/tcpsvd",
    "usr/bin/xenstore",
    "usr/lib/xen-",
    "usr/sbin/ip",
    "usr/sbin/tc",
    "usr/sbin/xl",
];

/// What of that does not: it needs Python, which dom0 lacks, or is the other of two xenstoreds.
const UNWANTED: [&str; 4] = ["/python/", "/oxenstored", "/pygrub", ".py"];

/// A library that no program names: the C library loads it when `xl` ends a thread.
const LOADED: &str = "libgcc_s.so.1";

/// The modules of dom0's kernel.
const MODULES: [&str; 13] = [
    "virtio_mmio",
    "virtio_net",
    "bridge",
    "sch_ingress",
    "cls_flower",
    "act_gact",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
    "xen-netback",
    "xen-blkback",
];

/// Our own files: path, permissions, text.
pub(crate) const OWN: [(&str, u32, &str); 8] = [
    ("init", 0o755, include_str!("dom0/init")),
    ("lab/agent", 0o755, include_str!("dom0/agent")),
    ("lab/follow", 0o755, include_str!("dom0/follow")),
    ("lab/xenbr0.conf", 0o644, include_str!("dom0/xenbr0.conf")),
    ("lab/xenbr1.conf", 0o644, include_str!("dom0/xenbr1.conf")),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/bash\n"),
    ("etc/group", 0o644, "root:x:0:\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
];

/// Everything here that decides what goes in, apart from [`OWN`].
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    WANTED
        .into_iter()
        .chain(UNWANTED)
        .chain(MODULES)
        .chain([LOADED])
}

/// Returns whether a path of a package goes into the initramfs as it is.
pub(crate) fn is_wanted(path: &str) -> bool {
    WANTED.iter().any(|prefix| path.starts_with(prefix))
        && !UNWANTED.iter().any(|part| path.contains(part))
}

/// dom0's root folder.
pub(crate) fn root(packages: &Tree) -> Result<Tree> {
    let mut root = Tree::default();
    for (path, _) in packages.iter().filter(|(path, _)| is_wanted(path)) {
        root.take(packages, path)?;
    }
    libraries::add(&mut root, packages, &[LOADED])?;
    modules::add(&mut root, packages, &MODULES, "lab/modules")?;
    for (path, mode, text) in OWN {
        root.insert(path, mode, text.as_bytes());
    }
    root.link_merged_folders();
    root.link("usr/bin/sh", "busybox");
    Ok(root)
}
