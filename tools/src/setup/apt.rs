//! Debian's packages through apt: installed where a program is wanted, or unpacked privately where an
//! installed package would get in the way of the user's own (a second `rustc` in `/usr/bin`).

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{self, find_program};

/// Returns whether this system has apt.
pub(crate) fn available() -> bool {
    find_program("apt-get").is_some()
}

/// Installs `packages` for the whole system; `why` finishes the announcement.
pub(crate) fn install(packages: &[&str], why: &str) -> Result<()> {
    let command = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !available() {
        bail!("{why} is missing. {}", other_systems(packages));
    }
    if !privileged() {
        bail!("{why} is missing and only root can install it: run `sudo {command}`");
    }
    eprintln!("setup: {why} is missing: {command}");
    update_if_unknown(packages);
    let try_once = || {
        let mut apt = as_root("apt-get");
        apt.args([
            "-y",
            "-q",
            "--no-install-recommends",
            "-oDPkg::Lock::Timeout=300",
            "install",
        ]);
        apt.args(packages).stdout(Stdio::from(std::io::stderr()));
        process::run_checked(&mut apt, "apt-get install")
    };
    with_fresh_lists(try_once)
        .with_context(|| format!("cannot install {why}; try `sudo {command}`"))
}

/// Downloads `packages` and those of their dependencies that the system lacks, and unpacks them all in
/// `folder`. Nothing is installed or configured. Returns the packages.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<Vec<String>> {
    unpack_all(packages, folder, || with_missing_dependencies(packages))
}

/// Downloads `package` without its dependencies and unpacks it in `folder`.
pub(crate) fn unpack_alone(package: &str, folder: &Path) -> Result<()> {
    unpack_all(&[package], folder, || Ok(vec![package.to_owned()])).map(drop)
}

fn unpack_all(
    packages: &[&str],
    folder: &Path,
    resolve: impl Fn() -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    update_if_unknown(packages);
    let attempt = || -> Result<Vec<String>> {
        let all = resolve()?;
        eprintln!("setup: downloading {}", all.join(", "));
        let downloads = tempfile::tempdir_in(folder)?;
        let mut apt = Command::new("apt-get");
        // As root, apt would rather download as a user who cannot write here.
        apt.args(["-q", "-oAPT::Sandbox::User=root", "download"])
            .args(&all);
        apt.current_dir(downloads.path())
            .stdout(Stdio::from(std::io::stderr()));
        process::run_checked(&mut apt, "apt-get download")?;
        for item in std::fs::read_dir(downloads.path())? {
            let archive = item?.path();
            let name = archive
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            eprintln!(
                "setup: unpacking {}",
                name.split('_').next().unwrap_or(&name)
            );
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("-x").arg(&archive).arg(folder);
            process::run_checked(&mut dpkg, "dpkg-deb")?;
        }
        Ok(all)
    };
    with_fresh_lists(attempt)
}

/// Returns the version that apt would install, if it knows the package.
pub(crate) fn candidate(package: &str) -> Option<String> {
    let policy = process::output(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )
    .ok()?;
    candidate_in(&policy)
}

pub(super) fn candidate_in(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Updates apt's lists when one of `packages` is not in them.
pub(crate) fn update_if_unknown(packages: &[&str]) {
    if !packages.iter().all(|package| candidate(package).is_some()) {
        update();
    }
}

/// Runs `work`, and once more with new lists if it fails: old lists name files that are gone.
fn with_fresh_lists<T>(work: impl Fn() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if !process::stopped() && privileged() => {
            eprintln!("setup: {error:#}; trying again with new package lists");
            update();
            work()
        }
        result => result,
    }
}

/// Reads the package lists anew. A failure is only a warning: often one suite of many is broken, and the
/// package wanted is in another.
pub(crate) fn update() {
    if !privileged() {
        eprintln!("setup: apt's package lists may be old, and only root can update them");
        return;
    }
    eprintln!("setup: updating apt's package lists");
    let mut apt = as_root("apt-get");
    apt.args(["-q", "-oDPkg::Lock::Timeout=300", "update"])
        .stdout(Stdio::from(std::io::stderr()));
    if let Err(error) = process::run_checked(&mut apt, "apt-get update") {
        eprintln!("setup: warning: {error:#}; going on with the lists there are");
    }
}

/// The names of `packages` and of the dependencies that would be installed with them.
fn with_missing_dependencies(packages: &[&str]) -> Result<Vec<String>> {
    let mut apt = Command::new("apt-get");
    apt.args([
        "--print-uris",
        "-qq",
        "-y",
        "--no-install-recommends",
        "install",
    ])
    .args(packages);
    let mut all = names_in_uris(&process::output(apt.env("LC_ALL", "C"))?);
    // Those that are installed already are not listed, but here a copy is wanted all the same.
    for package in packages {
        if !all.iter().any(|name| name == package) {
            all.push((*package).to_owned());
        }
    }
    Ok(all)
}

/// The package names in the output of `apt-get --print-uris`: `'URI' NAME_VERSION_ARCH.deb SIZE HASH`.
pub(super) fn names_in_uris(uris: &str) -> Vec<String> {
    uris.lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split_whitespace().nth(1)?.split('_').next())
        .map(str::to_owned)
        .collect()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns whether a command can be run as root: as root, or by sudo if it can ask or need not.
fn privileged() -> bool {
    if is_root() {
        return true;
    }
    let asks_nothing = || {
        let probe = Command::new("sudo")
            .args(["-n", "true"])
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success())
    };
    find_program("sudo").is_some() && (std::io::stdin().is_terminal() || asks_nothing())
}

fn as_root(program: &str) -> Command {
    let mut command = if is_root() {
        Command::new(program)
    } else {
        Command::new("sudo")
    };
    if !is_root() {
        command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    }
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::inherit());
    command
}

/// What to type where there is no apt. Debian's package names are not those of other systems.
pub(crate) fn other_systems(packages: &[&str]) -> String {
    let known = [
        ("dnf", "sudo dnf install"),
        ("pacman", "sudo pacman -S"),
        ("zypper", "sudo zypper install"),
        ("apk", "sudo apk add"),
        ("brew", "brew install"),
    ];
    let Some((manager, command)) = known
        .into_iter()
        .find(|(manager, _)| find_program(manager).is_some())
    else {
        return format!("Install what Debian calls {}", packages.join(", "));
    };
    let names: Vec<&str> = packages
        .iter()
        .map(|package| renamed(manager, package))
        .collect();
    format!("Run `{command} {}`", names.join(" "))
}

fn renamed<'a>(manager: &str, package: &'a str) -> &'a str {
    match (manager, package) {
        ("dnf", "qemu-system-arm") => "qemu-system-aarch64-core",
        ("pacman" | "apk", "qemu-system-arm") => "qemu-system-aarch64",
        ("brew", "qemu-system-arm") => "qemu",
        ("dnf", "iproute2") => "iproute",
        ("dnf", "chromium-driver") | ("pacman", "chromium-driver") => "chromedriver",
        ("apk", "chromium-driver") => "chromium-chromedriver",
        ("brew", "chromium-driver") => "chromedriver",
        (_, package) => package,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_are_read_from_uris() {
        let uris = "'http://mirror/pool/libllvm22_22.1.8-1%7edeb12u1_amd64.deb' \
                    libllvm22_1%3a22.1.8-1~deb12u1_amd64.deb 29378692 MD5Sum:0\nReading package lists...\n\
                    'http://mirror/pool/rustc-web_1.deb' rustc-web_1.96_amd64.deb 1 \n";
        assert_eq!(names_in_uris(uris), ["libllvm22", "rustc-web"]);
    }

    #[test]
    fn a_package_without_candidate_is_unknown() {
        assert_eq!(
            candidate_in("wrk:\n  Installed: (none)\n  Candidate: 4.1.0-3\n"),
            Some("4.1.0-3".to_owned())
        );
        assert_eq!(
            candidate_in("wrk:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(candidate_in(""), None);
    }

    #[test]
    fn other_systems_get_their_own_names() {
        assert_eq!(renamed("brew", "qemu-system-arm"), "qemu");
        assert_eq!(renamed("dnf", "wrk"), "wrk");
    }
}
