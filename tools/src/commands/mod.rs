//! The subcommands, one file each.

pub(crate) mod apps;
mod bench;
mod boards;
mod build;
mod burst;
mod debug;
mod decode;
mod doctor;
mod flash;
mod fuzz;
mod image;
mod lab;
mod loader;
mod new;
mod run;
mod run_card;
mod run_image;
mod run_xen;
mod size;
mod soak;
mod supervise;
mod test;
mod trace;
mod wire;
mod xl;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::process;

/// What `cargo landfall` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the boards: what an app can be built for
    Boards,
    /// Lists the apps
    Apps,
    New(new::Arguments),
    Build(build::Arguments),
    Image(image::Arguments),
    Flash(flash::Arguments),
    Run(run::Arguments),
    Debug(debug::Arguments),
    Trace(trace::Arguments),
    Test(test::Arguments),
    Fuzz(fuzz::Arguments),
    Bench(bench::Arguments),
    Soak(soak::Arguments),
    Size(size::Arguments),
    Decode(decode::Arguments),
    Doctor(doctor::Arguments),
    Lab(lab::Arguments),
    Xl(xl::Arguments),
    #[command(hide = true)]
    RunImage(run_image::Arguments),
    #[command(hide = true)]
    Supervise(supervise::Arguments),
    #[command(hide = true)]
    Burst(burst::Arguments),
    #[command(hide = true, subcommand)]
    Loader(loader::Arguments),
    #[command(hide = true)]
    Wire(wire::Arguments),
}

/// Runs a subcommand.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    if let Command::Supervise(arguments) = command {
        // It turns into another program, which must find the signals as they were.
        return supervise::run(&arguments);
    }
    process::watch_signals()?;
    match command {
        Command::Boards => boards::run(),
        Command::Apps => apps::run(),
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Flash(arguments) => flash::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Debug(arguments) => debug::run(&arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Size(arguments) => size::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Lab(arguments) => lab::run(&arguments),
        Command::Xl(arguments) => xl::run(&arguments),
        Command::RunImage(arguments) => run_image::run(arguments),
        Command::Supervise(arguments) => supervise::run(&arguments),
        Command::Burst(arguments) => burst::run(&arguments),
        Command::Loader(arguments) => loader::run(&arguments),
        Command::Wire(arguments) => wire::run(&arguments),
    }
}
