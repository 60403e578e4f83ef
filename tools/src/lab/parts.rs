//! What a lab boots: Xen, a Linux kernel and initramfs archives, made from Debian's packages ([`Kit`]).

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::linux_guest::Kind;
use super::platform::Platform;
use super::tree::Tree;
use super::{dom0, initramfs, linux_guest};
use crate::setup::cache;
use crate::setup::foreign::{Apt, Mirror, Package};

/// Picks what goes into an archive from the packages' files.
type Choice = fn(&Tree) -> Result<Tree>;

/// The archives that are made for a lab, and what goes in.
const INITRAMFS: [(&str, Choice); 3] = [
    ("initramfs", |files| dom0::LAB.root(files)),
    ("guest", linux_guest::root),
    ("guest-servers", linux_guest::root_with_servers),
];

/// The hypervisor and the kernel of dom0: the names that they are given.
pub(crate) const XEN: &str = "xen";
/// See [`XEN`].
pub(crate) const LINUX: &str = "linux";

/// The list of packages that all was made from.
const PACKAGES: &str = "packages";

/// Those two are taken as they are, by the beginnings of their paths in the packages.
const BOOT: [(&str, &str); 2] = [(XEN, "boot/xen-"), (LINUX, "boot/vmlinuz-")];

/// Xen, a kernel, and what is made for them: one entry of the cache under the versions and checksums of everything
/// that goes in.
pub(crate) struct Kit {
    /// How the names of its entries begin.
    pub(crate) entries: &'static str,
    /// The packages, without those that they depend on.
    pub(crate) packages: Vec<&'static str>,
    /// What of the packages is of use, besides kernels, modules and libraries.
    pub(crate) is_wanted: fn(&str) -> bool,
    /// What decides, besides the packages, what is made.
    pub(crate) words: Vec<String>,
    /// The files that are made, besides [`XEN`] and [`LINUX`].
    pub(crate) files: Vec<&'static str>,
    /// Makes them in a folder.
    pub(crate) make: fn(&Tree, &Path) -> Result<()>,
}

impl Kit {
    /// Returns the folder of the entry; where there is none, the packages are fetched and it is made.
    pub(crate) fn get(&self, debian: &'static str, mirror: Option<Mirror>) -> Result<PathBuf> {
        let apt = Apt::open(debian, mirror)?;
        let packages = needed(&apt.resolve(&self.packages)?, &self.packages);
        let entries = self.entries;
        let name = format!("{entries}{debian}-{}", fingerprint(&packages, &self.words));
        let are_there = |folder: &Path| {
            let files = self.files.iter().copied().chain([XEN, LINUX]);
            files.into_iter().all(|name| folder.join(name).is_file())
        };
        cache::entry(&name, are_there, |folder, _| {
            cache::remove_unused(entries)?;
            let files = read(&apt.fetch(&packages)?, self.is_wanted)?;
            for (name, prefix) in BOOT {
                let data = boot_file(&files, prefix)?;
                std::fs::write(folder.join(name), data).context("cannot write to the cache")?;
            }
            (self.make)(&files, folder)?;
            std::fs::write(folder.join(PACKAGES), list(&packages))
                .context("cannot write to the cache")
        })
    }
}

/// The files that QEMU is given.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Finds the parts in the cache, or fetches the packages and makes them.
    pub(crate) fn get(platform: &Platform, mirror: Option<Mirror>) -> Result<Self> {
        let kit = Kit {
            entries: "xen-",
            packages: platform
                .packages
                .into_iter()
                .chain(dom0::LAB.packages())
                .chain(linux_guest::PACKAGES)
                .collect(),
            is_wanted: |path| dom0::LAB.is_wanted(path) || linux_guest::WANTED.contains(&path),
            words: dom0::LAB.words().chain(linux_guest::words()).collect(),
            files: INITRAMFS.map(|(name, _)| name).to_vec(),
            make,
        };
        let folder = kit.get(platform.debian, mirror)?;
        Ok(Self { folder })
    }

    /// The hypervisor.
    pub(crate) fn xen(&self) -> PathBuf {
        self.folder.join(XEN)
    }

    /// The kernel of dom0 and of Linux guests.
    pub(crate) fn linux(&self) -> PathBuf {
        self.folder.join(LINUX)
    }

    /// dom0's files.
    pub(crate) fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    /// The files of a Linux guest.
    pub(crate) fn guest(&self, kind: Kind) -> PathBuf {
        self.folder.join(match kind {
            Kind::Minimal => "guest",
            Kind::Servers | Kind::Packaged => "guest-servers",
        })
    }

    /// How many bytes a Linux guest has to be shipped with: its kernel and its files.
    pub(crate) fn guest_bytes(&self, kind: Kind) -> Result<u64> {
        Ok(self.linux().metadata()?.len() + self.guest(kind).metadata()?.len())
    }

    /// The version of the first package whose name begins with `prefix`.
    pub(crate) fn version(&self, prefix: &str) -> Option<String> {
        let list = std::fs::read_to_string(self.folder.join(PACKAGES)).ok()?;
        version_in(&list, prefix).map(str::to_owned)
    }
}

/// The version in a [`list`] of packages.
fn version_in<'a>(list: &'a str, prefix: &str) -> Option<&'a str> {
    let line = list.lines().find(|line| line.starts_with(prefix))?;
    line.split_whitespace().nth(1)
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
fn fingerprint(packages: &[Package], words: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(list(packages));
    for word in words {
        hash.update(word);
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Makes the archives in `folder`.
fn make(files: &Tree, folder: &Path) -> Result<()> {
    for (name, root) in INITRAMFS {
        let path = folder.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        initramfs::write(&root(files)?, BufWriter::new(file))?;
        eprintln!(
            "lab: made {name}, {:.1} MB",
            path.metadata()?.len() as f64 / 1e6
        );
    }
    Ok(())
}

/// Reads what can be of use from the packages.
fn read(packages: &[PathBuf], is_wanted: fn(&str) -> bool) -> Result<Tree> {
    let mut files = Tree::default();
    for (index, path) in packages.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('_').next().unwrap_or(&name);
        eprintln!("unpacking {name} ({} of {})", index + 1, packages.len());
        files.add_package(path, |path| is_wanted(path) || is_material(path))?;
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
        let name = |version| fingerprint(&[package("bash", "shells", version)], &[]);
        assert_eq!(name("5"), name("5"));
        assert_ne!(name("5"), name("6"));
        let other = ["word".to_owned()];
        assert_ne!(
            name("5"),
            fingerprint(&[package("bash", "shells", "5")], &other)
        );
    }

    #[test]
    fn versions_are_found_in_the_list() {
        let list = list(&[
            package("linux-image-6.1.0-56-cloud-arm64", "kernel", "6.1.192-2"),
            package("nginx", "httpd", "1.22"),
        ]);
        assert_eq!(version_in(&list, "linux-image-"), Some("6.1.192-2"));
        assert_eq!(version_in(&list, "nginx"), Some("1.22"));
        assert_eq!(version_in(&list, "apache"), None);
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
