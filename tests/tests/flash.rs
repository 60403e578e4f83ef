//! `cargo landfall flash`, onto files and, where there are some, loop devices: all of it, and nothing that says so when it
//! is not.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use landfall_tests::lab::Folder;
use landfall_tests::{DEADLINE, Guest, Lab, skip, wait_until};
use nix::sys::signal::Signal;

/// Starts `flash`.
fn flash(lab: &Lab, image: &Path, device: &Path) -> Guest {
    let (image, device) = (image.display().to_string(), device.display().to_string());
    lab.command(&["flash", "--image", &image, "--device", &device])
}

/// It must fail, say this and never that it is done.
fn refuses(mut guest: Guest, hint: &str) {
    assert_ne!(guest.wait_for_exit(), 0, "{}", guest.console());
    let console = guest.console();
    assert!(console.contains(hint), "{hint:?}:\n{console}");
    assert!(!console.contains("read back and compared"), "{console}");
}

/// A card of our own.
fn card(lab: &Lab, folder: &Folder) -> PathBuf {
    let path = folder.path().join("sd.img");
    lab.card("orangepi-plus", &path, &[]);
    path
}

/// A file with these bytes at its start and so many in all.
fn file(path: PathBuf, start: &[u8], bytes: u64) -> PathBuf {
    let mut file = File::create(&path).expect("the folder is ours");
    file.write_all(start).expect("there is room");
    file.set_len(bytes).expect("there is room");
    path
}

/// The start of an image of so many bytes: a partition table.
fn partition_table(bytes: u64) -> Vec<u8> {
    let mut table = vec![0; 512];
    table[454..458].copy_from_slice(&1u32.to_le_bytes());
    table[458..462].copy_from_slice(&((bytes / 512) as u32 - 1).to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    table
}

#[test]
fn a_card_is_written_read_back_and_compared() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let image = card(&lab, &folder);
    // Something was there before, also where the image has nothing.
    let device = folder.path().join("device");
    std::fs::write(&device, vec![0xff; 65 << 20]).expect("there is room");
    for _ in 0..2 {
        let mut guest = flash(&lab, &image, &device);
        assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
        assert!(guest.console().contains("read back and compared"));
        let (wanted, written) = (std::fs::read(&image), std::fs::read(&device));
        let (wanted, written) = (wanted.expect("an image"), written.expect("a file"));
        assert!(written[..wanted.len()] == wanted[..], "another card");
        assert!(written[wanted.len()..].iter().all(|byte| *byte == 0xff));
    }
}

#[test]
fn what_cannot_be_a_card_is_refused() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let place = |name: &str| folder.path().join(name);
    let image = file(place("image"), &partition_table(4 << 20), 4 << 20);
    let small = file(place("small"), &[], 1 << 20);
    refuses(flash(&lab, &image, &small), "too small");
    let cut = file(place("cut"), &partition_table(4 << 20), 3 << 20);
    let device = file(place("device"), &[], 8 << 20);
    refuses(flash(&lab, &cut, &device), "it is not whole");
    let text = file(place("text"), b"a text", 4 << 20);
    refuses(flash(&lab, &text, &device), "no partition table");
    refuses(flash(&lab, &place("missing"), &device), "cannot open");
    refuses(
        flash(&lab, &image, Path::new("/dev/no-such-card")),
        "--list",
    );
    refuses(flash(&lab, &image, Path::new("/dev/null")), "neither");
    refuses(flash(&lab, &image, folder.path()), "neither");
    let untouched = std::fs::read(device).expect("a file");
    assert!(untouched.iter().all(|byte| *byte == 0), "it was written");
}

/// A file system that is removed with this value.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg(&self.0).status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

impl Mounted {
    /// A file system in memory with room for 2 MiB.
    fn small(folder: &Folder) -> Option<Self> {
        let place = folder.path().join("tmpfs");
        std::fs::create_dir(&place).expect("the folder is ours");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(&place);
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then_some(Self(place))
    }
}

/// An image of 8 MiB without a hole.
fn full_image(folder: &Folder) -> PathBuf {
    let bytes: usize = 8 << 20;
    let mut image = partition_table(bytes as u64);
    image.resize(bytes, 7);
    file(folder.path().join("image"), &image, bytes as u64)
}

#[test]
fn a_card_that_takes_no_more_is_not_called_written() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let Some(small) = Mounted::small(&folder) else {
        return skip("a small file system needs root, and mount");
    };
    // A file of more bytes than its file system has room for.
    let device = file(small.0.join("device"), &[], 8 << 20);
    let guest = flash(&lab, &full_image(&folder), &device);
    refuses(guest, "does not start: write it again");
}

/// As when a card is pulled out: what is written fails with an I/O error, some of it only when it is to be kept.
#[test]
fn a_device_that_fails_on_the_way_is_not_called_written() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let Some(small) = Mounted::small(&folder) else {
        return skip("a small file system needs root, and mount");
    };
    let backing = file(small.0.join("device"), &[], 8 << 20);
    let Some(device) = Loop::of(&backing) else {
        return skip("there is no loop device, or no right to one");
    };
    let mut guest = flash(&lab, &full_image(&folder), &device.0);
    assert_ne!(guest.wait_for_exit(), 0, "{}", guest.console());
    let console = guest.console();
    assert!(console.contains("Input/output error"), "{console}");
    refuses(guest, "does not start: write it again");
}

#[test]
fn an_interrupted_card_is_not_called_written() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    // Long enough to be interrupted, and nearly all of it holes.
    let bytes = 64 << 30;
    let image = file(folder.path().join("image"), &partition_table(bytes), bytes);
    let device = file(folder.path().join("device"), &[], bytes);
    let mut guest = flash(&lab, &image, &device);
    wait_until("the first bytes", DEADLINE, || {
        let mut start = [0; 512];
        File::open(&device).ok()?.read_exact(&mut start).ok()?;
        (start[510] == 0x55).then_some(())
    });
    guest.signal(Signal::SIGINT);
    assert_eq!(guest.wait_for_exit(), 130, "{}", guest.console());
    let console = guest.console();
    assert!(
        console.contains("does not start: write it again"),
        "{console}"
    );
    assert!(!console.contains("compared"), "{console}");
}

/// A loop device, which is gone with this value.
struct Loop(PathBuf);

impl Drop for Loop {
    fn drop(&mut self) {
        let ended = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("{} is still there", self.0.display());
        }
    }
}

impl Loop {
    /// A device of what is in a file.
    fn of(backing: &Path) -> Option<Self> {
        let mut losetup = Command::new("losetup");
        let output = losetup.args(["--find", "--show"]).arg(backing).output();
        let output = output.ok().filter(|it| it.status.success())?;
        Some(Self(String::from_utf8_lossy(&output.stdout).trim().into()))
    }
}

#[test]
fn a_loop_device_is_written_like_a_card() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let backing = file(folder.path().join("backing"), &[], 64 << 20);
    let Some(device) = Loop::of(&backing) else {
        return skip("there is no loop device, or no right to one");
    };
    let image = card(&lab, &folder);
    let mut guest = flash(&lab, &image, &device.0);
    assert_eq!(guest.wait_for_exit(), 0, "{}", guest.console());
    assert!(guest.console().contains("next: "), "{}", guest.console());
    let mut list = lab.command(&["flash", "--list"]);
    assert_eq!(list.wait_for_exit(), 0, "{}", list.console());
    let name = device.0.display().to_string();
    assert!(list.console().contains(&name), "{}", list.console());
    drop(device);
    assert!(std::fs::read(&backing).expect("a file") == std::fs::read(&image).expect("an image"));
}
