//! Debian's packages for another architecture, without touching the user's own apt: lists, status and
//! downloads lie in a folder of the cache, and nothing is ever installed or configured.
//!
//! Which mirror is asked is the user's business: the system's apt sources name it, or an option does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use super::{apt, cache};
use crate::process;

/// How old the package lists may be before they are read anew.
const FRESH: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Written when the lists were last read.
const STAMP: &str = "updated";

/// Debian's own keys, where a mirror is named that the system's sources do not have.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A mirror of Debian other than those of the system's apt sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The address of the archive.
    pub(crate) url: String,
    /// The release, "bookworm".
    pub(crate) suite: String,
}

/// A package as apt would install it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    /// "libc6".
    pub(crate) name: String,
    /// "2.36-9+deb12u14".
    pub(crate) version: String,
    /// The archive's section, "libs".
    pub(crate) section: String,
    /// The checksum of the file, which apt compares.
    pub(crate) sha256: String,
}

/// An apt of its own for one architecture, for this process alone while the value lives.
#[derive(Debug)]
pub(crate) struct Apt {
    architecture: &'static str,
    folder: PathBuf,
    mirror: Option<Mirror>,
    _lock: File,
}

impl Mirror {
    /// The mirror at `url`, with the release `suite` or that of this system.
    pub(crate) fn new(url: &str, suite: Option<&str>) -> Result<Self> {
        let suite = match suite {
            Some(suite) => suite.to_owned(),
            None => own_suite()?,
        };
        Ok(Self {
            url: url.to_owned(),
            suite,
        })
    }

    fn source(&self) -> String {
        let signed = if Path::new(KEYRING).is_file() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let Self { url, suite } = self;
        let mut lines = format!("deb {signed}{url} {suite} main\n");
        // Writing to a string cannot fail.
        let _infallible = writeln!(lines, "deb {signed}{url} {suite}-updates main");
        lines
    }
}

/// The release of this system.
fn own_suite() -> Result<String> {
    let text = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    suite_in(&text)
        .context("/etc/os-release names no release (VERSION_CODENAME): name one with --suite")
}

fn suite_in(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let name = value.trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

impl Apt {
    /// The apt state for `architecture` in the cache, made where there is none.
    pub(crate) fn open(architecture: &'static str, mirror: Option<Mirror>) -> Result<Self> {
        ensure!(
            apt::available(),
            "Debian's packages are fetched with apt-get, which this system does not have: \
             use a Debian or Ubuntu machine or container"
        );
        let folder = cache::folder()?.join(folder_name(architecture, mirror.as_ref()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let apt = Self {
            architecture,
            // apt itself does not wait for another one, but fails.
            _lock: cache::lock(&folder)?,
            folder,
            mirror,
        };
        for folder in ["state/lists/partial", "cache/archives/partial", "packages"] {
            let folder = apt.folder.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        // No package counts as installed.
        std::fs::write(apt.folder.join("status"), "")?;
        if let Some(mirror) = &apt.mirror {
            std::fs::write(apt.folder.join("sources.list"), mirror.source())?;
        }
        Ok(apt)
    }

    /// Returns `roots` and everything that they depend on, by name.
    pub(crate) fn resolve(&self, roots: &[&str]) -> Result<Vec<Package>> {
        if !self.is_fresh() {
            self.update()?;
        }
        let closure = || self.closure(roots);
        closure().or_else(|first| {
            process::check_stopped()?;
            eprintln!("setup: {first:#}; trying again with new package lists");
            self.update()?;
            closure()
        })
    }

    fn closure(&self, roots: &[&str]) -> Result<Vec<Package>> {
        let mut uris = self.command("apt-get");
        uris.args(["--print-uris", "-qq", "-y", "--no-install-recommends"]);
        let uris = process::output(uris.arg("install").args(roots))
            .map_err(|error| error.context(self.unknown(roots)))?;
        let mut show = self.command("apt-cache");
        show.args(["show", "--no-all-versions"]);
        let records = process::output(show.args(apt::names_in_uris(&uris)))?;
        packages_in(&records)
    }

    /// Says which of `roots` no suite has, and what to do.
    fn unknown(&self, roots: &[&str]) -> String {
        let missing: Vec<&str> = roots
            .iter()
            .copied()
            .filter(|root| {
                self.policy(root)
                    .and_then(|text| apt::candidate_in(&text))
                    .is_none()
            })
            .collect();
        let what = if missing.is_empty() {
            format!("apt cannot resolve {}", roots.join(", "))
        } else {
            format!(
                "no suite has {} for {}",
                missing.join(", "),
                self.architecture
            )
        };
        format!("{what} ({}); {}", self.whence(), self.way_on())
    }

    /// Returns the files of `packages`, downloading those that are not there yet. apt compares checksums.
    pub(crate) fn fetch(&self, packages: &[Package]) -> Result<Vec<PathBuf>> {
        let download = || {
            let mut download = self.command("apt-get");
            download
                .args(["-q", "download"])
                .args(
                    packages
                        .iter()
                        .map(|package| format!("{}={}", package.name, package.version)),
                )
                .current_dir(self.folder.join("packages"))
                .stdout(Stdio::from(std::io::stderr()));
            process::run_checked(&mut download, "apt-get download")
        };
        eprintln!(
            "setup: fetching {} packages for {}",
            packages.len(),
            self.architecture
        );
        if let Err(first) = download() {
            process::check_stopped()?;
            eprintln!("setup: {first:#}; trying again with new package lists");
            self.update()?;
            download().map_err(|error| error.context(self.not_fetched(packages)))?;
        }
        packages
            .iter()
            .map(|package| {
                self.file(package)
                    .with_context(|| self.not_fetched(std::slice::from_ref(package)))
            })
            .collect()
    }

    /// The downloaded file of a package.
    fn file(&self, package: &Package) -> Option<PathBuf> {
        // apt escapes what a file name may not hold: the colon after an epoch.
        let version = package.version.replace(':', "%3a");
        [self.architecture, "all"]
            .map(|architecture| format!("{}_{version}_{architecture}.deb", package.name))
            .map(|name| self.folder.join("packages").join(name))
            .into_iter()
            .find(|path| path.is_file())
    }

    /// Says which packages are missing after a download, from which suites, and what to do.
    fn not_fetched(&self, packages: &[Package]) -> String {
        let missing: Vec<String> = packages
            .iter()
            .filter(|package| self.file(package).is_none())
            .map(|package| {
                format!(
                    "{} {} (from {})",
                    package.name,
                    package.version,
                    self.suite_of(package)
                )
            })
            .collect();
        format!("cannot fetch {}; {}", missing.join(", "), self.way_on())
    }

    /// The suite that has a package: "http://mirror/debian bookworm/main".
    fn suite_of(&self, package: &Package) -> String {
        self.policy(&package.name)
            .and_then(|policy| suite_in_policy(&policy, &package.version))
            .unwrap_or_else(|| self.whence())
    }

    fn policy(&self, package: &str) -> Option<String> {
        process::output(self.command("apt-cache").args(["policy", package])).ok()
    }

    fn whence(&self) -> String {
        match &self.mirror {
            Some(mirror) => format!("{} {}", mirror.url, mirror.suite),
            None => "this system's apt sources".to_owned(),
        }
    }

    fn way_on(&self) -> &'static str {
        match self.mirror {
            Some(_) => "try again later, or name another --mirror or --suite",
            None => {
                "try again later, or name a Debian mirror with --mirror URL and its release with --suite"
            }
        }
    }

    fn is_fresh(&self) -> bool {
        let written = self
            .folder
            .join(STAMP)
            .metadata()
            .and_then(|data| data.modified());
        let age = written
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        age.is_some_and(|age| age < FRESH)
    }

    /// Reads the package lists anew. A failure is only a warning: often one suite of many is broken, and
    /// the packages wanted are in another.
    fn update(&self) -> Result<()> {
        eprintln!(
            "setup: reading the package lists for {} from {}",
            self.architecture,
            self.whence()
        );
        let mut update = self.command("apt-get");
        update
            .args(["-q", "update"])
            .stdout(Stdio::from(std::io::stderr()));
        if let Err(error) = process::run_checked(&mut update, "apt-get update") {
            process::check_stopped()?;
            eprintln!("setup: warning: {error:#}; going on with the lists there are");
        }
        // Should a package be missing in them, they are read anew all the same.
        std::fs::write(self.folder.join(STAMP), "").context("cannot write to the cache")
    }

    /// A program of apt, with the state in this folder.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
        command
            .arg(option("Dir::State", &self.folder.join("state")))
            .arg(option("Dir::State::status", &self.folder.join("status")))
            .arg(option("Dir::Cache", &self.folder.join("cache")))
            .arg(format!("-oAPT::Architecture={}", self.architecture))
            .arg(format!("-oAPT::Architectures={}", self.architecture))
            // As root, apt would rather download as a user who cannot write here.
            .arg("-oAPT::Sandbox::User=root")
            // What only shops for software read.
            .arg("-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false")
            .arg("-oAcquire::Languages=none")
            .env("LC_ALL", "C");
        if self.mirror.is_some() {
            command
                .arg(option(
                    "Dir::Etc::sourcelist",
                    &self.folder.join("sources.list"),
                ))
                .arg("-oDir::Etc::sourceparts=-");
        }
        command
    }
}

/// A folder for each architecture and mirror, for lists of two mirrors do not mix.
fn folder_name(architecture: &str, mirror: Option<&Mirror>) -> String {
    let Some(Mirror { url, suite }) = mirror else {
        return format!("apt-{architecture}");
    };
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() {
            character
        } else {
            '-'
        }
    };
    let mirror: String = format!("{url}-{suite}").chars().map(plain).collect();
    format!("apt-{architecture}-{mirror}")
}

/// The packages in the output of `apt-cache show`: paragraphs of `Field: value` lines.
fn packages_in(records: &str) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for paragraph in records.split("\n\n").filter(|text| !text.trim().is_empty()) {
        let fields: BTreeMap<&str, &str> = paragraph
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        let field = |name: &str| match fields.get(name) {
            Some(value) => Ok(value.trim().to_owned()),
            None => bail!("apt-cache shows a package without {name}: {paragraph:?}"),
        };
        packages.push(Package {
            name: field("Package")?,
            version: field("Version")?,
            section: field("Section")?,
            sha256: field("SHA256")?,
        });
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// The source of `version` in the output of `apt-cache policy`: below the version's line, a line
/// `500 http://mirror/debian bookworm/main arm64 Packages`.
fn suite_in_policy(policy: &str, version: &str) -> Option<String> {
    let mut lines = policy.lines().skip_while(|line| {
        let mut words = line.trim_start_matches([' ', '*']).split_whitespace();
        words.next() != Some(version) || words.next().is_none()
    });
    let mut words = lines.nth(1)?.split_whitespace().skip(1);
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_records() {
        let records = "Package: libc6\nVersion: 2.36-9\nSection: libs\nDescription: C library\n longer: text\n\
                       SHA256: 01f4\n\nPackage: bash\nSection: shells\nVersion: 5.2\nSHA256: ab\n";
        let packages = packages_in(records).expect("two packages");
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[0].name, "bash");
        assert_eq!(packages[1].section, "libs");
        let error = packages_in("Package: bash\nVersion: 1\n").expect_err("no section");
        assert!(error.to_string().contains("without Section"), "{error}");
    }

    #[test]
    fn the_suite_of_a_version_is_found() {
        let policy = "xen-utils-4.17:\n  Installed: (none)\n  Candidate: 4.17.7\n  Version table:\n     \
                      4.17.7 500\n        500 http://mirror/security bookworm-security/main arm64 Packages\n     \
                      4.17.5 500\n        500 http://mirror/debian bookworm/main arm64 Packages\n";
        let suite = |version| suite_in_policy(policy, version);
        assert_eq!(
            suite("4.17.5").as_deref(),
            Some("http://mirror/debian bookworm/main")
        );
        assert_eq!(
            suite("4.17.7").as_deref(),
            Some("http://mirror/security bookworm-security/main")
        );
        assert_eq!(suite("4.18"), None);
    }

    #[test]
    fn the_release_is_read_from_os_release() {
        assert_eq!(
            suite_in("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(
            suite_in("VERSION_CODENAME=\"trixie\"\n").as_deref(),
            Some("trixie")
        );
        assert_eq!(suite_in("ID=arch\n"), None);
        assert_eq!(suite_in("VERSION_CODENAME=\n"), None);
    }

    #[test]
    fn each_mirror_has_a_folder_of_its_own() {
        let mirror = Mirror {
            url: "http://mirror/debian".to_owned(),
            suite: "trixie".to_owned(),
        };
        assert_eq!(folder_name("arm64", None), "apt-arm64");
        assert_eq!(
            folder_name("arm64", Some(&mirror)),
            "apt-arm64-http---mirror-debian-trixie"
        );
    }
}
