//! The folder of a lab: who runs it, how it is reached, its console. One folder is one lab.

use std::fs::{File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::platform::Architecture;
use crate::registry::Workspace;

/// The variable that names another folder.
const VARIABLE: &str = "LANDFALL_LAB";

/// The longest path of a socket (`sun_path`, unix(7)), less the name of ours.
const LONGEST: usize = 107 - "/qmp".len();

/// A lab's folder.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
}

/// What is written down about a lab that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// QEMU's process.
    pub(crate) pid: u32,
    /// What it emulates.
    pub(crate) architecture: Architecture,
    /// The version of its interrupt controller.
    pub(crate) gic: u8,
    /// Its memory, "2G".
    pub(crate) memory: String,
    /// The port of 127.0.0.1 at which dom0's agent is reached.
    pub(crate) agent_port: u16,
    /// What the agent wants to hear first.
    pub(crate) token: String,
    /// dom0 has said that it is ready.
    pub(crate) ready: bool,
}

impl Place {
    /// The folder for labs of `architecture`: that of `LANDFALL_LAB`, or one in cargo's target folder.
    pub(crate) fn new(architecture: Architecture) -> Result<Self> {
        let folder = match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => Workspace::load()?
                .target_directory()
                .join("landfall/lab")
                .join(format!("xen-{}", architecture.platform().debian)),
        };
        Self::at(&folder)
    }

    /// The lab's folder at `folder`.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        // The record holds the token.
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700))?;
        let folder = folder.canonicalize()?;
        anyhow::ensure!(
            folder.as_os_str().len() <= LONGEST,
            "the path {} is too long for QEMU's control socket: set {VARIABLE} to a shorter one",
            folder.display()
        );
        Ok(Self { folder })
    }

    /// QEMU's control socket.
    pub(crate) fn qmp(&self) -> PathBuf {
        self.folder.join("qmp")
    }

    /// What Xen and dom0 print.
    pub(crate) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// What QEMU itself complains about.
    pub(crate) fn complaints(&self) -> PathBuf {
        self.folder.join("qemu.log")
    }

    /// dom0's files, with the token.
    pub(crate) fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    fn record(&self) -> PathBuf {
        self.folder.join("lab.json")
    }

    /// Keeps other commands from starting or ending the lab; waits for one that is at it.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("lab: waiting for another command that starts or ends this lab");
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the lab"),
        }
        Ok(file)
    }

    /// The record of the lab here, if one was started. A record that cannot be read counts as none.
    pub(crate) fn read(&self) -> Option<Record> {
        let text = std::fs::read(self.record()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the record.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let new = tempfile::NamedTempFile::new_in(&self.folder)?;
        std::fs::write(new.path(), serde_json::to_vec(record)?)?;
        new.persist(self.record())
            .context("cannot write the lab's record")?;
        Ok(())
    }

    /// Returns whether the QEMU of `record` runs, and not another process that got its number.
    pub(crate) fn is_alive(&self, record: &Record) -> bool {
        let process = Path::new("/proc").join(record.pid.to_string());
        // An ended process that nobody has waited for has no command line.
        let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let socket = self.qmp();
        let socket = socket.as_os_str().as_encoded_bytes();
        words.windows(socket.len()).any(|window| window == socket)
    }

    /// Removes what a lab has left, except for its console's last words if they are to be `kept`.
    pub(crate) fn clear(&self, kept: &[PathBuf]) -> Result<()> {
        for path in [
            self.record(),
            self.qmp(),
            self.initramfs(),
            self.console(),
            self.complaints(),
        ] {
            if path.exists() && !kept.contains(&path) {
                std::fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32) -> Record {
        Record {
            pid,
            architecture: Architecture::Arm64,
            gic: 3,
            memory: "2G".to_owned(),
            agent_port: 7,
            token: "secret".to_owned(),
            ready: true,
        }
    }

    #[test]
    fn a_record_is_read_as_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Place::at(folder.path()).expect("a place");
        assert_eq!(place.read(), None);
        place.write(&record(1)).expect("it is written");
        assert_eq!(place.read(), Some(record(1)));
        place.clear(&[]).expect("it is removed");
        assert_eq!(place.read(), None);
    }

    #[test]
    fn another_process_with_the_number_is_not_the_lab() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Place::at(folder.path()).expect("a place");
        assert!(!place.is_alive(&record(std::process::id())));
        let socket = place.qmp().display().to_string();
        let mut child = std::process::Command::new("sleep")
            .args(["60", "--help", &socket])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("sleep starts");
        let _status = child.wait();
        assert!(!place.is_alive(&record(child.id())));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = Place::at(&folder.path().join("x".repeat(100))).expect_err("too long");
        assert!(error.to_string().contains(VARIABLE), "{error}");
    }
}
