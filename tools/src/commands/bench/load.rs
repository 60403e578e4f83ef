//! Load, in turns: all systems are up, each in a network namespace of its own or guests of Xen in one together, and one
//! after the other is loaded in each round, so that noise of this machine hits all of them.

use anyhow::{Result, anyhow};

use super::Effort;
use super::clients;
use super::figure::{Figure, Sample};
use super::scenarios::{HOW_LOAD, Scenario, Service};
use super::table::{Column, Table};
use crate::network::Namespace;
use crate::process;
use crate::server::{Running, Server};

/// Seconds of load of which nothing is written down: the emulator translates what the guest runs.
const WARM_UP: u64 = 1;

/// A system, and the column of the table in which it stands.
pub(super) struct Contender<'a> {
    pub(super) column: String,
    pub(super) is_linux: bool,
    pub(super) server: &'a dyn Server,
    pub(super) services: &'a [Service],
}

impl Contender<'_> {
    /// Its column.
    pub(super) fn column<'t>(&self, table: &'t mut Table) -> Column<'t> {
        match self.is_linux {
            true => table.linux_column(&self.column),
            false => table.column(&self.column),
        }
    }

    /// Returns whether it offers something.
    pub(super) fn offers(&self, service: Service) -> bool {
        self.services.contains(&service)
    }
}

/// Measures all scenarios, each with those systems that offer what it needs.
pub(super) fn measure(
    table: &mut Table,
    contenders: &[Contender<'_>],
    effort: Effort,
) -> Result<()> {
    if let Some(obstacle) = Namespace::obstacle() {
        for contender in contenders {
            contender.column(table).add("load", obstacle, HOW_LOAD);
        }
        return Ok(());
    }
    let mut running = Vec::new();
    for contender in contenders {
        contender.column(table).announce("starting it for the load");
        let mut server = Running::start(contender.server)?;
        if contender.offers(Service::Web) {
            clients::wrk(&mut server, 1, WARM_UP)?;
        }
        running.push(server);
    }
    for scenario in Scenario::all() {
        run(table, contenders, &mut running, scenario, effort)?;
    }
    Ok(())
}

/// Runs the rounds of one scenario: the first system, the second, …, the first again.
fn run(
    table: &mut Table,
    contenders: &[Contender<'_>],
    running: &mut [Running],
    scenario: Scenario,
    effort: Effort,
) -> Result<()> {
    let mut samples: Vec<Vec<Result<Sample>>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        for ((contender, server), samples) in contenders.iter().zip(&mut *running).zip(&mut samples)
        {
            if contender.offers(scenario.service()) {
                let sample = scenario.sample(server, effort);
                process::check_stopped()?;
                // Whatever went wrong, the next scenarios are of use only with a server that lives.
                server.look()?;
                samples.push(sample);
            }
        }
    }
    for (contender, samples) in contenders.iter().zip(samples) {
        if samples.is_empty() {
            continue;
        }
        let kept = samples.iter().flatten().filter_map(|sample| sample.kept);
        let kept: Vec<Result<Sample>> = kept.map(|ratio| Ok(ratio.into())).collect();
        let mut column = contender.column(table);
        column.add(
            &scenario.measure(),
            samples.into_iter().collect::<Figure>(),
            scenario.how(),
        );
        if !kept.is_empty() {
            let [name, how] = Scenario::KEPT;
            column.add(name, kept.into_iter().collect::<Figure>(), how);
        }
    }
    Ok(())
}

/// An error for a client that gave no result.
pub(super) fn no_result(client: &str, report: &str) -> anyhow::Error {
    anyhow!("{client} gave no result: {}", report.trim())
}
