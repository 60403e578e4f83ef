//! Linux guests, what a user would run instead of a library OS: Debian's kernel, and one page on TCP port 8080.
//! Measurements compare with them.
//!
//! [`Kind::Minimal`] is as small as it gets, with busybox's httpd; [`Kind::Servers`] is as fast as it gets, with nginx,
//! and answers iperf3's client and UDP datagrams as well; [`Kind::Packaged`] has nginx as Debian configures it.

use anyhow::Result;

use super::recipe::Own;
use super::tree::Tree;
use super::{libraries, modules};

/// Its boot arguments, beside those that give it an address: as a guest of Xen, and in QEMU.
pub(crate) const ON_XEN: &str = "console=hvc0 rdinit=/init quiet";
/// See [`ON_XEN`]. A kernel that panics ends QEMU.
pub(crate) const IN_QEMU: &str = "console=ttyAMA0 rdinit=/init quiet panic=-1";

/// The modules of its kernel: it boots in QEMU and as a guest of Xen.
pub(crate) const MODULES: [&str; 3] = ["virtio_mmio", "virtio_net", "xen-netfront"];

/// What of Debian's packages is for them, besides what dom0 has: packages, and files in them.
pub(crate) const PACKAGES: [&str; 3] = ["nginx", "nginx-common", "openbsd-inetd"];
/// See [`PACKAGES`].
pub(crate) const WANTED: [&str; 5] = [
    "usr/sbin/nginx",
    "usr/sbin/inetd",
    "etc/nginx/nginx.conf",
    "etc/nginx/mime.types",
    "etc/nginx/sites-available/default",
];

/// The UDP port of the echo in [`Kind::Servers`].
pub(crate) const ECHO_PORT: u16 = 7007;

/// Our own files: path, permissions, text.
const OWN: [Own; 3] = [
    ("init", 0o755, include_str!("guest/init")),
    ("udhcpc", 0o755, include_str!("guest/udhcpc")),
    ("page/index.html", 0o644, include_str!("guest/index.html")),
];

/// Those of [`Kind::Servers`] besides: for nginx, and for inetd, which looks up all names.
const OWN_SERVERS: [Own; 6] = [
    (
        "etc/nginx.conf",
        0o644,
        include_str!("guest/servers/nginx.conf"),
    ),
    (
        "etc/inetd.conf",
        0o644,
        include_str!("guest/servers/inetd.conf"),
    ),
    ("etc/services", 0o644, "echo 7007/udp\n"),
    ("etc/protocols", 0o644, "tcp 6 TCP\nudp 17 UDP\n"),
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n",
    ),
    ("etc/group", 0o644, "root:x:0:\nwww-data:x:33:\n"),
];

/// Which Linux guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// busybox and its httpd.
    Minimal,
    /// nginx, iperf3's server and an echo of UDP datagrams on [`ECHO_PORT`].
    Servers,
    /// The same with nginx as Debian's package configures it, but for the port.
    Packaged,
}

impl Kind {
    /// What it is told at boot, in front of its address.
    pub(crate) fn word(self) -> Option<&'static str> {
        (self == Self::Packaged).then_some("nginx=packaged")
    }
}

/// Everything that decides what goes in, apart from the packages.
pub(crate) fn words() -> impl Iterator<Item = String> {
    let own = OWN.into_iter().chain(OWN_SERVERS);
    let own = own.map(|(path, mode, text)| format!("{path} {mode:o} {text}"));
    own.chain(MODULES.into_iter().chain(WANTED).map(str::to_owned))
}

/// The root folder of [`Kind::Minimal`].
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

/// The root folder of [`Kind::Servers`].
pub(crate) fn root_with_servers(packages: &Tree) -> Result<Tree> {
    let mut root = root(packages)?;
    for path in WANTED.into_iter().chain(["usr/bin/iperf3"]) {
        root.take(packages, path)?;
    }
    libraries::add(&mut root, packages, &[])?;
    for (path, mode, text) in OWN_SERVERS {
        root.insert(path, mode, text.as_bytes());
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inetd_finds_the_echos_port() {
        let services = OWN_SERVERS
            .iter()
            .find(|(path, ..)| *path == "etc/services");
        let (_, _, text) = services.expect("the file is there");
        assert_eq!(*text, format!("echo {ECHO_PORT}/udp\n"));
    }
}
