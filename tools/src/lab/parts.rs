//! What a lab boots: Xen, a Linux kernel and initramfs archives, made from Debian's packages and kept in the
//! cache under the versions and checksums of everything that went in.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::platform::Platform;
use super::tree::Tree;
use super::{dom0, initramfs, linux_guest};
use crate::setup::cache;
use crate::setup::foreign::{Apt, Mirror, Package};

/// How the names of entries in the cache begin.
const ENTRIES: &str = "xen-";

/// Picks what goes into an archive from the packages' files.
type Choice = fn(&Tree) -> Result<Tree>;

/// The files that are made, and what goes in.
const INITRAMFS: [(&str, Choice); 3] = [
    ("initramfs", dom0::root),
    ("guest", linux_guest::root),
    ("guest-iperf3", linux_guest::root_with_iperf3),
];

/// The files that are taken as they are, by the beginnings of their paths in the packages.
const BOOT: [(&str, &str); 2] = [("xen", "boot/xen-"), ("linux", "boot/vmlinuz-")];

/// The files that QEMU is given.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Finds the parts in the cache, or fetches the packages and makes them.
    pub(crate) fn get(platform: &Platform, mirror: Option<Mirror>) -> Result<Self> {
        let apt = Apt::open(platform.debian, mirror)?;
        let roots: Vec<&str> = platform
            .packages
            .into_iter()
            .chain(dom0::PACKAGES)
            .collect();
        let packages = needed(&apt.resolve(&roots)?, &roots);
        let name = format!("{ENTRIES}{}-{}", platform.debian, fingerprint(&packages));
        let folder = cache::entry(&name, are_there, |folder, _| {
            cache::remove_unused(ENTRIES)?;
            make(&apt.fetch(&packages)?, folder)?;
            std::fs::write(folder.join("packages"), list(&packages))
                .context("cannot write to the cache")
        })?;
        Ok(Self { folder })
    }

    /// The hypervisor.
    pub(crate) fn xen(&self) -> PathBuf {
        self.folder.join("xen")
    }

    /// The kernel of dom0 and of Linux guests.
    pub(crate) fn linux(&self) -> PathBuf {
        self.folder.join("linux")
    }

    /// dom0's files.
    pub(crate) fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    /// The files of a minimal Linux guest, with iperf3 or without.
    pub(crate) fn guest(&self, with_iperf3: bool) -> PathBuf {
        self.folder
            .join(if with_iperf3 { "guest-iperf3" } else { "guest" })
    }

    /// How many bytes a Linux guest has to be shipped with: its kernel and its files.
    pub(crate) fn guest_bytes(&self, with_iperf3: bool) -> Result<u64> {
        Ok(self.linux().metadata()?.len() + self.guest(with_iperf3).metadata()?.len())
    }
}

fn are_there(folder: &Path) -> bool {
    let made = INITRAMFS.iter().map(|(name, _)| name);
    BOOT.iter()
        .map(|(name, _)| name)
        .chain(made)
        .all(|name| folder.join(name).is_file())
}

/// Of a closure of dependencies, what the labs need: the roots, Xen's and the kernel's own packages,
/// libraries. The rest is for installing and configuring, which nobody does here.
fn needed(packages: &[Package], roots: &[&str]) -> Vec<Package> {
    let is_needed = |package: &&Package| {
        let name = package.name.as_str();
        package.section == "libs"
            || roots.contains(&name)
            || name.starts_with("xen")
            || name.starts_with("linux-image-")
    };
    packages.iter().filter(is_needed).cloned().collect()
}

fn list(packages: &[Package]) -> String {
    packages
        .iter()
        .map(|package| format!("{} {} {}\n", package.name, package.version, package.sha256))
        .collect()
}

/// A name for everything that goes in: the packages, and what this program adds.
fn fingerprint(packages: &[Package]) -> String {
    let mut hash = Sha256::new();
    hash.update(list(packages));
    for (path, mode, text) in dom0::OWN.into_iter().chain(linux_guest::OWN) {
        hash.update(format!("{path} {mode:o} {text}"));
    }
    for word in dom0::words().chain(linux_guest::MODULES) {
        hash.update(word);
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Makes the parts in `folder`.
fn make(packages: &[PathBuf], folder: &Path) -> Result<()> {
    let files = read(packages)?;
    for (name, prefix) in BOOT {
        let data = boot_file(&files, prefix)?;
        std::fs::write(folder.join(name), data).context("cannot write to the cache")?;
    }
    for (name, root) in INITRAMFS {
        let path = folder.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        initramfs::write(&root(&files)?, BufWriter::new(file))?;
        eprintln!(
            "lab: made {name}, {:.1} MB",
            path.metadata()?.len() as f64 / 1e6
        );
    }
    Ok(())
}

/// Reads what can be of use from the packages.
fn read(packages: &[PathBuf]) -> Result<Tree> {
    let mut files = Tree::default();
    for (index, path) in packages.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('_').next().unwrap_or(&name);
        eprintln!(
            "lab: unpacking {name} ({} of {})",
            index + 1,
            packages.len()
        );
        files.add_package(path, |path| dom0::is_wanted(path) || is_material(path))?;
    }
    Ok(files)
}

/// Files from which some are picked: libraries, modules, what QEMU loads.
fn is_material(path: &str) -> bool {
    path.starts_with("boot/") || path.starts_with("usr/lib/modules/") || path.contains(".so")
}

/// The one file of a kind in `boot`: the hypervisor's package also has it with other endings.
fn boot_file<'a>(files: &'a Tree, prefix: &str) -> Result<&'a [u8]> {
    files
        .iter()
        .map(|(path, _)| path)
        .filter(|path| {
            path.starts_with(prefix) && !path.ends_with(".efi") && !path.ends_with(".config")
        })
        .find_map(|path| files.file(path))
        .with_context(|| format!("the packages have no {prefix}*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, section: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            section: section.to_owned(),
            sha256: "00".to_owned(),
        }
    }

    #[test]
    fn only_libraries_come_along() {
        let packages = [
            package("bash", "shells", "5"),
            package("debconf", "admin", "1"),
            package("libc6", "libs", "2"),
            package("linux-image-6.1.0-56-cloud-arm64", "kernel", "6"),
            package("xen-utils-4.17", "admin", "4"),
        ];
        let kept: Vec<String> = needed(&packages, &["bash"])
            .into_iter()
            .map(|package| package.name)
            .collect();
        assert_eq!(
            kept,
            [
                "bash",
                "libc6",
                "linux-image-6.1.0-56-cloud-arm64",
                "xen-utils-4.17"
            ]
        );
    }

    #[test]
    fn another_version_is_another_entry() {
        let name = |version| fingerprint(&[package("bash", "shells", version)]);
        assert_eq!(name("5"), name("5"));
        assert_ne!(name("5"), name("6"));
    }

    #[test]
    fn of_the_files_in_boot_the_plain_one_is_taken() {
        let mut files = Tree::default();
        files.insert("boot/xen-4.17-arm64", 0o644, *b"xen");
        files.insert("boot/xen-4.17-arm64.config", 0o644, *b"config");
        files.insert("boot/xen-4.17-arm64.efi", 0o644, *b"efi");
        assert_eq!(boot_file(&files, "boot/xen-").expect("it is there"), b"xen");
        assert!(boot_file(&files, "boot/vmlinuz-").is_err());
    }
}
