//! The Xen hosts of the tests: one after the other, each brought up for its tests and ended after them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::lab;
use crate::lab::boot::Options;
use crate::lab::place::Place;
use crate::lab::stay::Stay;

/// A test program, and the part of the names of those of its tests that run; empty for all.
type Run<'a> = (&'static str, &'a str);

/// The hosts: the version of the interrupt controller, and what runs on them. The second only shows that
/// guests bear its controller; all else was seen on the first. A `filter` asks for single tests.
pub(super) fn hosts(filter: Option<&str>) -> Vec<(u8, Vec<Run<'_>>)> {
    match filter {
        Some(filter) => vec![(3, vec![("xen", filter)])],
        None => vec![
            (3, vec![("xen", ""), ("browser", "on_xenvm")]),
            (2, vec![("xen", "every_host::")]),
        ],
    }
}

/// A host that ends when this value is dropped.
pub(super) struct Host {
    folder: PathBuf,
    _stay: Stay,
}

impl Host {
    /// Brings up a host in `folder`. One that is left there from a test that was killed is ended first.
    pub(super) fn up(folder: &Path, gic: u8) -> Result<Self> {
        let place = Place::at(folder)?;
        if let Some(record) = place.read() {
            let _lock = place.lock()?;
            lab::end(&place, &record)?;
        }
        let options = Options {
            gic,
            ..Options::USUAL
        };
        Ok(Self {
            folder: folder.to_owned(),
            _stay: Stay::begin(place, &options)?,
        })
    }

    /// Lets a `cargo test` command do a run on this host.
    pub(super) fn prepare(&self, command: &mut Command, (program, tests): Run<'_>) {
        command.env("LANDFALL_LAB", &self.folder);
        // dom0 has no time for two at once.
        command.args(["--test", program, "--", "--test-threads=1", tests]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hosts_run_without_a_filter_and_one_with_it() {
        let versions = |filter| -> Vec<u8> {
            let hosts = hosts(filter);
            hosts.into_iter().map(|(gic, _)| gic).collect()
        };
        assert_eq!(versions(None), [3, 2]);
        assert_eq!(versions(Some("panic")), [3]);
    }
}
