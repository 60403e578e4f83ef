//! What came of it, for a reader.

use std::process::ExitCode;

use anyhow::Result;

use super::metrics::Metrics;
use crate::commands::loader::Outcome;
use crate::commands::wire::Done;

/// Prints the result.
pub(super) fn report(
    before: &Metrics,
    after: Result<Metrics>,
    sums: &[(&str, Outcome)],
    cable: Option<Done>,
) -> ExitCode {
    match cable {
        Some(done) => print_cable(done),
        None => println!("no cable: the process has this machine's sockets"),
    }
    let mut failed = false;
    for (name, Outcome { done, errors, .. }) in sums {
        failed |= !errors.is_empty();
        let errors = if errors.is_empty() {
            "none failed".to_owned()
        } else {
            errors.join(", ")
        };
        println!("{name}: {done} requests, {errors}");
    }
    println!("before: {before}");
    match after {
        Ok(after) => {
            println!("after:  {after}");
            for (name, number) in after.drops() {
                println!("dropped, {name}: {number}");
            }
        }
        Err(error) => {
            failed = true;
            println!("after:  {error:#}");
        }
    }
    let (words, code) = match failed {
        true => ("soak: failed", ExitCode::FAILURE),
        false => ("soak: passed", ExitCode::SUCCESS),
    };
    println!("{words}");
    code
}

fn print_cable(done: Done) {
    let Done {
        frames,
        lost,
        duplicated,
        reordered,
        corrupted,
    } = done;
    println!(
        "cable: {frames} frames, {lost} lost, {duplicated} twice, {reordered} late, {corrupted} corrupted"
    );
}
