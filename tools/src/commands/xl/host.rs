//! A Xen host at the other end of an ssh connection, commanded by its own xl.

use std::process::Command;

use anyhow::{Context, Error, Result, anyhow, ensure};

use crate::qemu::shell_word;
use crate::ssh::{Connection, Failed};
use crate::xl::DomainName;

/// xl is a system tool: its folder may be in the path of root alone.
const PATH: &str = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin";

/// The exit code of shells for a program that is not there.
const NO_PROGRAM: i32 = 127;

/// Whether xl is started by the user who logs in or by way of sudo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// The user is root.
    Own,
    /// The user may use sudo without a password.
    Sudo,
}

/// A Xen host.
pub(super) struct Host {
    connection: Connection,
    rights: Rights,
}

impl Host {
    /// The host at the end of `connection`. It must have xl, and a Xen that runs guests of `architecture`, as
    /// `xl info` calls it.
    pub(super) fn new(connection: Connection, rights: Rights, architecture: &str) -> Result<Self> {
        let host = Self { connection, rights };
        let capabilities = host.xl("info xen_caps")?;
        ensure!(
            runs(&capabilities, architecture),
            "the image is for {architecture}, and Xen on {} runs only {}: choose another --board",
            host.connection.destination(),
            capabilities.trim()
        );
        Ok(host)
    }

    /// The connection to it.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns whether it has a domain called `name`.
    pub(super) fn has(&self, name: &DomainName) -> Result<bool> {
        Ok(lists(&self.xl("list")?, name))
    }

    /// Makes a folder, which may be relative to the user's home there, and returns its full path.
    pub(super) fn folder(&self, path: &str) -> Result<String> {
        let word = shell_word(path);
        let script = format!("cd && mkdir -p -- {word} && cd -- {word} && pwd -P");
        let place = self.connection.destination();
        let answer = self.connection.run(&script);
        let answer = answer.with_context(|| format!("cannot make the folder {path} on {place}"))?;
        // A shell's start-up file may print something before.
        let folder = answer.lines().last().unwrap_or_default();
        ensure!(
            folder.starts_with('/'),
            "{place} says that the folder {path} is {answer:?}, which is no full path"
        );
        Ok(folder.to_owned())
    }

    /// Creates a domain from a configuration there.
    pub(super) fn create(&self, config: &str) -> Result<()> {
        self.xl(&format!("create {}", shell_word(config))).map(drop)
    }

    /// Ends the domain called `name`, whatever it is doing.
    pub(super) fn destroy(&self, name: &DomainName) -> Result<()> {
        self.xl(&format!("destroy {name}")).map(drop)
    }

    /// Returns the command that creates a domain and shows its console from the first letter on. Its
    /// terminal ends with the connection, and so does the console; xl itself must not, or it would leave a
    /// domain half made.
    pub(super) fn create_with_console(&self, config: &str) -> Command {
        let create = self.words(&format!("create -c {}", shell_word(config)));
        let script = format!("trap '' HUP; {PATH}; exec {create}");
        self.connection.at_terminal(&script)
    }

    /// What the user types here to run a command of xl there.
    pub(super) fn shown(&self, words: &str) -> String {
        match self.rights {
            Rights::Own => self.connection.shown(&format!("xl {words}")),
            Rights::Sudo => self.connection.shown(&format!("sudo xl {words}")),
        }
    }

    /// Runs a command of xl and returns what it prints.
    fn xl(&self, words: &str) -> Result<String> {
        let command = self.words(words);
        let script =
            format!("{PATH}; command -v xl > /dev/null || exit {NO_PROGRAM}; exec {command}");
        let answer = self.connection.run(&script);
        answer.map_err(|error| self.explained(words, error))
    }

    fn words(&self, words: &str) -> String {
        match self.rights {
            Rights::Own => format!("xl {words}"),
            Rights::Sudo => format!("sudo -n xl {words}"),
        }
    }

    /// Says where a command failed, and what can be done about it.
    fn explained(&self, words: &str, error: Error) -> Error {
        let place = self.connection.destination();
        match error.downcast::<Failed>() {
            Ok(failed) if failed.code == Some(NO_PROGRAM) => {
                anyhow!("there is no xl on {place}: log in to the dom0 of a Xen host")
            }
            Ok(failed) => {
                let advice = advice(&failed.complaint);
                Error::new(failed).context(format!("`xl {words}` failed on {place}{advice}"))
            }
            Err(error) => error,
        }
    }
}

/// What to try when xl has said this.
fn advice(complaint: &str) -> &'static str {
    if complaint.contains("sudo:") {
        " (sudo must let this user run xl without a password)"
    } else if complaint.contains("ermission denied") {
        " (xl is for root: log in as root, or add --sudo)"
    } else {
        ""
    }
}

/// Returns whether `xl info xen_caps` has the architecture: "xen-3.0-aarch64 xen-3.0-armv7l".
fn runs(capabilities: &str, architecture: &str) -> bool {
    let mut words = capabilities.split_whitespace();
    words.any(|word| word.starts_with("xen-") && word.ends_with(&format!("-{architecture}")))
}

/// Returns whether the table of `xl list` has the name in its first column.
fn lists(table: &str, name: &DomainName) -> bool {
    let mut names = table
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.any(|found| found == name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_name_architectures() {
        let both = "xen-3.0-aarch64 xen-3.0-armv7l \n";
        assert!(runs(both, "aarch64") && runs(both, "armv7l"));
        assert!(!runs("xen-3.0-armv7l", "aarch64"));
        assert!(!runs("xen-3.0-x86_64 hvm-3.0-x86_32", "aarch64"));
        assert!(!runs("", "aarch64"));
    }

    #[test]
    fn domains_are_found_by_their_whole_name() {
        let table = "Name                 ID   Mem VCPUs\tState\tTime(s)\n\
                     Domain-0              0   768     1     r-----       5.8\n\
                     2048-xenvm            3    32     1     -b----       0.1\n\
                     (null)                6     0     0     --p---       0.0\n";
        let lists = |name: &str| lists(table, &name.parse().expect("a name"));
        assert!(lists("2048-xenvm"));
        assert!(!lists("2048-xen") && !lists("xenvm") && !lists("32x"));
    }

    #[test]
    fn a_lack_of_rights_gets_advice() {
        assert!(advice("sudo: a password is required").contains("sudo"));
        assert!(advice("Could not obtain handle: Permission denied").contains("--sudo"));
        assert_eq!(advice("libxl: error: no memory"), "");
    }
}
