//! The board `unix`: a process on the developer's machine, with the machine's sockets.
//!
//! Boot arguments are the process's arguments, so `app port=8081` and `app --help` work as one
//! would expect. Ctrl-C and SIGTERM ask the app to end, which then ends with exit code 0 within a
//! second; the second such signal ends the process at once.
#![forbid(unsafe_code)]

mod console;
mod entropy;
mod signals;
mod time;

use landfall::{App, BoardClock, Devices, ExitCode, NetworkDevice, Platform, Seed};
use std::process;

/// Runs an app in this process.
pub fn start(app: App) -> ! {
    time::start();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut seed = Seed::new("the host's getrandom fails");
    entropy::refresh(&mut |bytes| seed.add("getrandom", bytes));
    landfall::run(
        &Unix,
        Devices {
            arguments: arguments.join(" "),
            clock: BoardClock::Host,
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

    fn refresh_entropy(&self, absorb: &mut dyn FnMut(&[u8])) {
        entropy::refresh(absorb);
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

    fn exit(&self, code: ExitCode) -> ! {
        process::exit(code as i32)
    }
}
