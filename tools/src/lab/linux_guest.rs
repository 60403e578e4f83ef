//! A minimal Linux guest, what a user would run instead of a library OS: Debian's kernel, busybox, one page on
//! TCP port 8080. Measurements compare with it.

use anyhow::Result;

use super::tree::Tree;
use super::{libraries, modules};

/// Its boot arguments, beside those that give it an address: as a guest of Xen, and in QEMU.
pub(crate) const ON_XEN: &str = "console=hvc0 rdinit=/init quiet";
/// See [`ON_XEN`]. A kernel that panics ends QEMU.
pub(crate) const IN_QEMU: &str = "console=ttyAMA0 rdinit=/init quiet panic=-1";

/// The modules of its kernel: it boots in QEMU and as a guest of Xen.
pub(crate) const MODULES: [&str; 3] = ["virtio_mmio", "virtio_net", "xen-netfront"];

/// Our own files: path, permissions, text.
pub(crate) const OWN: [(&str, u32, &str); 3] = [
    ("init", 0o755, include_str!("guest/init")),
    ("udhcpc", 0o755, include_str!("guest/udhcpc")),
    ("page/index.html", 0o644, include_str!("guest/index.html")),
];

/// The guest's root folder.
pub(crate) fn root(packages: &Tree) -> Result<Tree> {
    let mut root = Tree::default();
    root.take(packages, "usr/bin/busybox")?;
    root.link_merged_folders();
    modules::add(&mut root, packages, &MODULES, "modules")?;
    for (path, mode, text) in OWN {
        root.insert(path, mode, text.as_bytes());
    }
    Ok(root)
}

/// The same with an iperf3 server, for bulk TCP in both directions.
pub(crate) fn root_with_iperf3(packages: &Tree) -> Result<Tree> {
    let mut root = root(packages)?;
    root.take(packages, "usr/bin/iperf3")?;
    libraries::add(&mut root, packages, &[])?;
    Ok(root)
}
