//! The Xen hosts of the tests: one after the other, each brought up for its tests and ended after them.

use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::lab;
use crate::lab::boot::Options;
use crate::lab::place::Place;
use crate::lab::platform::Architecture;
use crate::lab::stay::Stay;

/// Some tests on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    /// The test program.
    program: &'static str,
    /// The part of the names of those of its tests that run; empty for all.
    tests: &'a str,
    /// The board whose images they start, and after it the others that this host could start.
    boards: &'static str,
}

/// What runs on one host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    architecture: Architecture,
    /// The version of the interrupt controller.
    gic: u8,
    pub(super) runs: Vec<Run<'a>>,
}

impl Display for Run<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let board = self.boards.split(',').next().unwrap_or_default();
        write!(formatter, "guests of board {board}, {} tests", self.program)
    }
}

impl Display for Plan<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let debian = self.architecture.platform().debian;
        write!(formatter, "a Xen host of {debian} with GICv{}", self.gic)
    }
}

const XENVM: &str = "xenvm,cubieboard2";
const CUBIEBOARD2: &str = "cubieboard2";
const CUBIEBOARD2_AMONG_OTHERS: &str = "cubieboard2,xenvm";

/// The hosts. What a guest of the other CPU must show on the first, and any guest on the one with GICv2, is that it
/// lives there; all else is seen where its board is at home. A `filter` asks for single tests, everywhere.
pub(super) fn plans(filter: Option<&str>) -> Vec<Plan<'_>> {
    let tests = filter.unwrap_or("");
    let run = |program, tests, boards| Run {
        program,
        tests,
        boards,
    };
    let plan = |architecture, gic, runs| Plan {
        architecture,
        gic,
        runs,
    };
    let first = |runs| plan(Architecture::Arm64, 3, runs);
    let last = |runs| plan(Architecture::Armhf, 2, runs);
    if filter.is_some() {
        let any = |boards| ["xen", "network"].map(|program| run(program, tests, boards));
        return vec![
            first([any(XENVM), any(CUBIEBOARD2_AMONG_OTHERS)].concat()),
            last(any(CUBIEBOARD2).to_vec()),
        ];
    }
    let all = |boards| {
        vec![
            run("xen", "", boards),
            run("network", "::xen", boards),
            run("debug", "of_a_guest_of_xen", boards),
            run("browser", "as_a_guest_of_xen", boards),
        ]
    };
    let every_host = |boards| run("xen", "every_host::", boards);
    let mut runs = all(XENVM);
    runs.push(every_host(CUBIEBOARD2_AMONG_OTHERS));
    vec![
        first(runs),
        plan(
            Architecture::Arm64,
            2,
            vec![every_host(XENVM), every_host(CUBIEBOARD2_AMONG_OTHERS)],
        ),
        last(all(CUBIEBOARD2)),
    ]
}

/// A host that ends when this value is dropped.
pub(super) struct Host {
    folder: PathBuf,
    _stay: Stay,
}

impl Host {
    /// Brings up a host in `folder`. One that is left there from a test that was killed is ended first.
    pub(super) fn up(folder: &Path, plan: &Plan<'_>) -> Result<Self> {
        let place = Place::at(folder)?;
        if let Some(record) = place.read() {
            let _lock = place.lock()?;
            lab::end(&place, &record)?;
        }
        let options = Options {
            gic: plan.gic,
            ..Options::usual(plan.architecture)
        };
        Ok(Self {
            folder: folder.to_owned(),
            _stay: Stay::begin(place, &options)?,
        })
    }

    /// Lets a `cargo test` command do a run on this host.
    pub(super) fn prepare(&self, command: &mut Command, run: &Run<'_>) {
        command.env("LANDFALL_LAB", &self.folder);
        command.env("LANDFALL_XEN_BOARDS", run.boards);
        // dom0 has no time for two at once.
        command.args(["--test", run.program, "--", "--test-threads=1", run.tests]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hosts_run_without_a_filter_and_one_of_each_architecture_with_it() {
        let hosts = |filter| -> Vec<String> { plans(filter).iter().map(Plan::to_string).collect() };
        let [first, second, third] = [("arm64", 3), ("arm64", 2), ("armhf", 2)]
            .map(|(host, gic)| format!("a Xen host of {host} with GICv{gic}"));
        assert_eq!(hosts(None), [first.clone(), second, third.clone()]);
        assert_eq!(hosts(Some("panic")), [first, third]);
    }

    #[test]
    fn each_host_starts_what_it_can() {
        for plan in plans(None) {
            let guests = plan.architecture.platform().guests;
            for run in plan.runs {
                let boards = run.boards.split(',').count();
                assert_eq!(boards, guests.len(), "{run}");
            }
        }
    }
}
