//! The board `unix`: a process on the developer's machine, with the machine's sockets.
//!
//! Boot arguments are the process's arguments, so `app port=8081` and `app --help` work as one
//! would expect. Ctrl-C and SIGTERM ask the app to end, which then ends with exit code 0 within a
//! second; the second such signal ends the process at once.
#![forbid(unsafe_code)]

mod console;
mod signals;
mod time;

use landfall::{App, CrashReport, Devices, ExitCode, NetworkDevice, Platform, Seed};
use std::{panic, process};

/// Runs an app in this process.
pub fn start(app: App) -> ! {
    time::start();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut seed = [0; 32];
    let seed = match getrandom::fill(&mut seed) {
        Ok(()) => Seed::Good(seed),
        Err(_) => Seed::Weak(seed),
    };
    landfall::run(
        &Unix,
        Devices {
            arguments: arguments.join(" "),
            seed,
            network: NetworkDevice::HostSockets,
            tasks: Vec::new(),
            // Without it, the signals end the process by themselves.
            shutdown: signals::shutdown_requested().ok(),
            board: None,
        },
        app,
    )
}

struct Unix;

impl Platform for Unix {
    fn board(&self) -> &'static str {
        "unix"
    }

    fn cpu(&self) -> &'static str {
        std::env::consts::ARCH
    }

    fn now_us(&self) -> u64 {
        time::now_us()
    }

    fn unix_seconds(&self) -> Option<u64> {
        time::unix_seconds()
    }

    fn dispatch_interrupts(&self) {}

    fn sleep(&self, deadline_us: Option<u64>) {
        time::sleep(deadline_us);
    }

    fn wake(&self) {
        time::wake();
    }

    fn write(&self, text: &[u8]) {
        console::write(text);
    }

    fn set_crash_report(&self, report: CrashReport) {
        let own_words = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            own_words(panic);
            report(&mut console::write);
        }));
    }

    fn exit(&self, code: ExitCode) -> ! {
        process::exit(code as i32)
    }
}
