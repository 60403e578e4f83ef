//! `cargo landfall test`: everything that CI checks, one step after the other.

mod count;
mod images;
mod steps;
mod xen;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use self::count::Count;
use self::steps::Bench;
use crate::process;

/// Runs every check: format, lints, docs, host tests, and the images in QEMU, a browser and on Xen
///
/// Missing tools (QEMU, a browser, clippy for the targets) are installed first. Every step runs, also
/// after one has failed; the last line sums up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo landfall test                      everything, as CI does\n  \
    cargo landfall test --only guests        only boot the images and ask them\n  \
    cargo landfall test --only xen           only as guests of Xen\n  \
    cargo landfall test --skip docs,clippy\n  \
    cargo landfall test panic                only tests with panic in their name")]
pub(crate) struct Arguments {
    /// Only run tests whose name has this in it; the steps without tests are skipped
    filter: Option<String>,
    /// Only these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<Step>,
    /// All but these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    skip: Vec<Step>,
}

/// A step, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Install what the other steps need
    Setup,
    /// cargo fmt --check
    Format,
    /// clippy for this machine
    Clippy,
    /// clippy for the boards' targets and for the page
    ClippyTargets,
    /// cargo doc without warnings
    Docs,
    /// Tests on this machine
    Unit,
    /// Plays what fuzzers have found, and more by chance
    Fuzz,
    /// Build the images
    Images,
    /// Boot the images, ask them, play in a browser
    Guests,
    /// The same on real Xen: hosts with GICv3 and GICv2 that are brought up for it
    Xen,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Returns whether a filter for test names leaves this step anything to do.
    fn serves_tests(self) -> bool {
        matches!(
            self,
            Step::Setup | Step::Unit | Step::Fuzz | Step::Images | Step::Guests | Step::Xen
        )
    }
}

/// How a step went.
enum Outcome {
    Ran(Count),
    Skipped(String),
}

impl Arguments {
    /// Why the user does not want a step.
    fn skips(&self, step: Step) -> Option<String> {
        if !self.only.is_empty() && !self.only.contains(&step) {
            return Some("not in --only".to_owned());
        }
        if self.skip.contains(&step) {
            return Some("in --skip".to_owned());
        }
        (self.filter.is_some() && !step.serves_tests())
            .then(|| "only tests are filtered by name".to_owned())
    }
}

/// Runs the steps and sums up.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut bench = Bench::new(arguments.filter.clone())?;
    let mut total = Count::default();
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    for step in Step::value_variants() {
        process::check_stopped()?;
        let name = step.name();
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = arguments
            .skips(*step)
            .map_or_else(|| bench.run(*step), |why| Ok(Outcome::Skipped(why)));
        let seconds = start.elapsed().as_secs_f32();
        let line = match outcome {
            Ok(Outcome::Ran(count)) => {
                total += count;
                if count.failed > 0 {
                    failed.push(name.clone());
                }
                format!("{name:<15} {seconds:>7.1} s  {count}")
            }
            Ok(Outcome::Skipped(why)) => format!("{name:<15} {:>9}  skipped: {why}", ""),
            Err(error) => {
                process::check_stopped()?;
                total.failed += 1;
                failed.push(name.clone());
                format!("{name:<15} {seconds:>7.1} s  FAILED: {error:#}")
            }
        };
        println!("{line}");
        summary.push(line);
    }
    println!("\n== summary\n{}", summary.join("\n"));
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("\n{total}");
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(only: &[Step], skip: &[Step], filter: Option<&str>) -> Arguments {
        Arguments {
            filter: filter.map(str::to_owned),
            only: only.to_vec(),
            skip: skip.to_vec(),
        }
    }

    #[test]
    fn steps_are_chosen_by_name() {
        assert!(arguments(&[], &[], None).skips(Step::Docs).is_none());
        assert!(
            arguments(&[Step::Unit], &[], None)
                .skips(Step::Docs)
                .is_some()
        );
        assert!(
            arguments(&[], &[Step::Docs], None)
                .skips(Step::Docs)
                .is_some()
        );
    }

    #[test]
    fn a_filter_leaves_only_steps_with_tests() {
        let filtered = arguments(&[], &[], Some("panic"));
        assert!(filtered.skips(Step::Format).is_some());
        assert!(filtered.skips(Step::Guests).is_none());
    }
}
