//! Xen's public headers for the tests: Debian's, unpacked privately.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{apt, cache};

const PACKAGE: &str = "libxen-dev";
const ENTRY: &str = "debian-xen-headers";
const FOLDER: &str = "usr/include";

fn works(place: &Path) -> bool {
    place.join(FOLDER).join("xen/xen.h").is_file()
}

/// Returns the folder around the headers' folder `xen`, if it is here.
pub(crate) fn find() -> Option<PathBuf> {
    let place = cache::find(ENTRY).filter(|place| works(place))?;
    Some(place.join(FOLDER))
}

/// Returns the folder, unpacking the headers first where they are missing.
pub(crate) fn get() -> Result<PathBuf> {
    if !apt::available() {
        let advice = apt::other_systems(&[PACKAGE]);
        bail!("Xen's headers (for the tests) are missing. {advice}");
    }
    let place = cache::entry(ENTRY, works, |folder, _| {
        eprintln!(
            "setup: Xen's headers (for the tests) are missing: fetching {PACKAGE} into a folder of its own"
        );
        apt::unpack_alone(PACKAGE, folder)
    })?;
    Ok(place.join(FOLDER))
}
