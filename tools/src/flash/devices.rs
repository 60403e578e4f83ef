//! Block devices of this machine, as Linux describes them in `/sys/block` and `/proc`: which of them is a card.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Bytes of the sectors in which `/sys/block/*/size` counts, whatever the device's own are.
const SECTOR: u64 = 512;

/// Where the system describes its devices. Tests have their own.
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// `/sys/block`.
    pub(crate) block: PathBuf,
    /// `/proc/self/mounts`.
    pub(crate) mounts: PathBuf,
    /// `/proc/swaps`.
    pub(crate) swaps: PathBuf,
}

impl System {
    /// This machine's.
    pub(crate) fn here() -> Self {
        Self {
            block: "/sys/block".into(),
            mounts: "/proc/self/mounts".into(),
            swaps: "/proc/swaps".into(),
        }
    }
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Without `/dev/`.
    pub(crate) name: String,
    /// What it is, for people.
    pub(crate) model: String,
    /// Its size; 0 for a reader without a card.
    pub(crate) bytes: u64,
    /// It can be taken out, or is a file (a loop device).
    pub(crate) is_removable: bool,
    /// It is switched to read-only.
    pub(crate) is_read_only: bool,
    /// Where it or its partitions are mounted, or what else uses them.
    pub(crate) uses: Vec<String>,
}

impl Device {
    /// Its path.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

/// All devices that hold something, by name.
pub(crate) fn list(system: &System) -> Result<Vec<Device>> {
    let entries = fs::read_dir(&system.block)
        .with_context(|| format!("cannot read {}", system.block.display()))?;
    let mut devices: Vec<Device> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| device(system, &name))
        .filter(|device| device.bytes > 0)
        .collect();
    devices.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(devices)
}

fn device(system: &System, name: &str) -> Device {
    let folder = system.block.join(name);
    let text = |path: &str| {
        let text = fs::read_to_string(folder.join(path)).unwrap_or_default();
        text.trim().to_owned()
    };
    let backing = text("loop/backing_file");
    let kind = text("device/type");
    let words = [
        text("device/vendor"),
        text("device/model"),
        text("device/name"),
    ];
    let model = words.iter().filter(|it| !it.is_empty()).cloned();
    let model = model.collect::<Vec<_>>().join(" ");
    Device {
        name: name.to_owned(),
        model: if backing.is_empty() {
            model
        } else {
            format!("the file {backing}")
        },
        bytes: text("size").parse().unwrap_or(0) * SECTOR,
        // A reader that is built in does not say that its cards can be taken out, but what they are.
        is_removable: text("removable") == "1" || kind == "SD" || !backing.is_empty(),
        is_read_only: text("ro") == "1",
        uses: uses(system, name),
    }
}

/// Who uses a device or its partitions.
fn uses(system: &System, name: &str) -> Vec<String> {
    let mut uses = Vec::new();
    let parts = parts(system, name);
    let is_part = |path: &str| {
        path.strip_prefix("/dev/")
            .is_some_and(|it| parts.iter().any(|part| part == it))
    };
    let mounts = fs::read_to_string(&system.mounts).unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        if let (Some(path), Some(place)) = (words.next(), words.next())
            && is_part(path)
        {
            uses.push(format!("{path} is mounted on {place}"));
        }
    }
    let swaps = fs::read_to_string(&system.swaps).unwrap_or_default();
    let swaps = swaps
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    uses.extend(
        swaps
            .filter(|path| is_part(path))
            .map(|path| format!("the system swaps to {path}")),
    );
    for part in &parts {
        let folder = match part == name {
            true => system.block.join(name),
            false => system.block.join(name).join(part),
        };
        // Encryption, volumes, arrays.
        for holder in fs::read_dir(folder.join("holders"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let holder = holder.file_name();
            uses.push(format!(
                "/dev/{part} is part of {}",
                holder.to_string_lossy()
            ));
        }
    }
    uses
}

/// A device and its partitions.
fn parts(system: &System, name: &str) -> Vec<String> {
    let entries = fs::read_dir(system.block.join(name)).into_iter().flatten();
    let mut parts: Vec<String> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.path().join("partition").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    parts.push(name.to_owned());
    parts
}

/// What is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A device.
    Device(Device),
    /// A plain file of so many bytes.
    File(u64),
}

/// Finds out what is at `path`, and refuses what no image of `bytes` bytes can be written to.
pub(crate) fn target(system: &System, path: &Path, bytes: u64) -> Result<Target> {
    let shown = path.display();
    let real = path
        .canonicalize()
        .with_context(|| format!("there is no {shown}; --list shows what there is"))?;
    let kind = fs::metadata(&real)?.file_type();
    let target = if kind.is_file() {
        Target::File(fs::metadata(&real)?.len())
    } else if kind.is_block_device() {
        Target::Device(named(system, &real)?)
    } else {
        bail!("{shown} is neither a block device nor a file");
    };
    let room = match &target {
        Target::Device(device) => device.bytes,
        Target::File(room) => *room,
    };
    if let Target::Device(device) = &target {
        ensure!(device.bytes > 0, "{shown} has no card in it");
        ensure!(
            !device.is_read_only,
            "{shown} is read-only: has the card a switch for that?"
        );
        if let Some(used) = device.uses.first() {
            bail!("{used}: unmount it, and all of {shown}, if it is the card that you mean");
        }
    }
    ensure!(
        room >= bytes,
        "{shown} is too small: it holds {room} bytes, and the image has {bytes}"
    );
    Ok(target)
}

/// The whole device at a path; a partition is not one.
fn named(system: &System, path: &Path) -> Result<Device> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ensure!(
        system.block.join(&*name).is_dir(),
        "{} is a part of a device: name the whole of it, as --list does",
        path.display()
    );
    Ok(device(system, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system with a disk that has the root file system, a card that is mounted, and one that is not.
    fn system(folder: &Path) -> System {
        let system = System {
            block: folder.join("block"),
            mounts: folder.join("mounts"),
            swaps: folder.join("swaps"),
        };
        let write = |path: &str, text: &str| {
            let path = system.block.join(path);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("it is ours");
            fs::write(path, text).expect("it is ours");
        };
        for (name, size, removable) in [
            ("sda", 1 << 24, "0"),
            ("sdb", 1 << 20, "1"),
            ("sdc", 1 << 18, "1"),
        ] {
            write(&format!("{name}/size"), &format!("{size}\n"));
            write(&format!("{name}/removable"), &format!("{removable}\n"));
            write(&format!("{name}/ro"), "0\n");
            write(&format!("{name}/device/model"), "Reader  \n");
            write(&format!("{name}/{name}1/partition"), "1\n");
        }
        write("sda/sda2/partition", "2\n");
        write("sda/sda2/holders/dm-0/name", "");
        write("mmcblk0/size", "2048\n");
        write("mmcblk0/removable", "0\n");
        write("mmcblk0/device/type", "SD\n");
        write("mmcblk0/device/name", "SC32G\n");
        write("sr0/size", "0\n");
        write("sr0/removable", "1\n");
        fs::write(
            &system.mounts,
            "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/sdb1 /media/card vfat rw 0 0\n",
        )
        .expect("it is ours");
        fs::write(&system.swaps, "Filename Type\n/dev/sda2 partition\n").expect("it is ours");
        system
    }

    #[test]
    fn devices_are_listed_with_what_uses_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let system = system(folder.path());
        let devices = list(&system).expect("it can be read");
        let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["mmcblk0", "sda", "sdb", "sdc"]);
        let [card, disk, mounted, free] = &devices[..] else {
            panic!("four devices");
        };
        assert_eq!((card.model.as_str(), card.bytes), ("SC32G", 1 << 20));
        assert!(card.is_removable && mounted.is_removable && free.is_removable);
        assert!(!disk.is_removable);
        assert_eq!(
            disk.uses,
            [
                "/dev/sda1 is mounted on /",
                "the system swaps to /dev/sda2",
                "/dev/sda2 is part of dm-0"
            ]
        );
        assert_eq!(mounted.uses, ["/dev/sdb1 is mounted on /media/card"]);
        assert!(free.uses.is_empty());
    }

    #[test]
    fn files_need_room() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let system = system(folder.path());
        let file = folder.path().join("card");
        fs::write(&file, [0; 100]).expect("it is ours");
        assert_eq!(
            target(&system, &file, 100).expect("room"),
            Target::File(100)
        );
        let error = target(&system, &file, 101)
            .expect_err("no room")
            .to_string();
        assert!(error.contains("too small"), "{error}");
        let error = target(&system, folder.path(), 1).expect_err("a folder");
        assert!(error.to_string().contains("neither"), "{error}");
        let missing = folder.path().join("sdz");
        let error = target(&system, &missing, 1).expect_err("nothing there");
        assert!(error.to_string().contains("--list"), "{error}");
    }
}
