//! An ssh server for the tests: the system's own, or Debian's, unpacked privately. Installed, it would let
//! the network in.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{apt, cache, debian};
use crate::process::find_program;

const SSHD: &str = "debian-sshd";
const SCRIPT: &str = "scripts/sshd";

/// Returns the server, or the script that runs it, if it is here.
pub(crate) fn find() -> Option<PathBuf> {
    let unpacked = || Some(cache::find(SSHD)?.join(SCRIPT));
    find_program("sshd").or_else(|| unpacked().filter(|script| script.is_file()))
}

/// Returns the server, unpacking it first where it is missing.
pub(crate) fn get() -> Result<PathBuf> {
    if let Some(sshd) = find() {
        return Ok(sshd);
    }
    if !apt::available() {
        let advice = apt::other_systems(&["openssh-server"]);
        bail!("an ssh server (for the tests) is missing. {advice}");
    }
    let works = |place: &Path| place.join(SCRIPT).is_file();
    let place = cache::entry(SSHD, works, |folder, place| {
        eprintln!(
            "setup: an ssh server (for the tests) is missing: fetching openssh-server into a folder of its own"
        );
        apt::unpack(&["openssh-server"], folder)?;
        let body = debian::private(place, &[place], "usr/sbin/sshd");
        cache::script(&folder.join(SCRIPT), &body)
    })?;
    Ok(place.join(SCRIPT))
}
