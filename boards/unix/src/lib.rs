//! The board `unix`: a process on the developer's machine, with the machine's sockets, or with our own IP
//! stack on a tap (`tap=NAME`, see `net`).
//!
//! Boot arguments are the process's arguments, so `app port=8081` and `app --help` work as one
//! would expect. Ctrl-C and SIGTERM ask the app to end, which then ends with exit code 0 within a
//! second; the second such signal ends the process at once.
#![forbid(unsafe_code)]

mod console;
mod entropy;
mod net;
mod signals;
mod time;

use landfall::{
    App, BoardClock, Card, CrashReport, Devices, ExitCode, NetworkDevice, Peripherals, Platform,
    Seed,
    arguments::{Argument, Words},
};
use std::{fmt::Display, panic, process};

/// Runs an app in this process.
pub fn start(app: App) -> ! {
    time::start();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments = arguments.join(" ");
    let mut seed = Seed::new("the host's getrandom fails");
    entropy::refresh(&mut |bytes| seed.add("getrandom", bytes));
    landfall::run(
        &Unix,
        Devices {
            network: network(&arguments),
            arguments,
            clock: BoardClock::Host,
            seed,
            tasks: Vec::new(),
            // Without it, the signals end the process by themselves.
            shutdown: signals::shutdown_requested().ok(),
            peripherals: Peripherals::default(),
            board: None,
        },
        app,
    )
}

/// Returns the way to the network that the boot arguments ask for; ends the process where it is not to be had.
fn network(arguments: &str) -> NetworkDevice {
    // What is wrong with the line as a whole, the runtime says.
    let words = Words::parse(arguments).unwrap_or_default();
    let wanted = match net::Wanted::read(&words) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => return NetworkDevice::HostSockets,
        Err(error) => refuse(&error, ExitCode::Usage),
    };
    match net::Tap::open(wanted) {
        Ok(tap) => NetworkDevice::Cards(vec![Card::new(tap)]),
        Err(error) => refuse(&error, ExitCode::Failure),
    }
}

fn refuse(error: &dyn Display, code: ExitCode) -> ! {
    eprintln!("{error}");
    Unix.exit(code)
}

struct Unix;

impl Platform for Unix {
    fn board(&self) -> &'static str {
        "unix"
    }

    fn cpu(&self) -> &'static str {
        std::env::consts::ARCH
    }

    fn arguments(&self) -> &'static [Argument<'static>] {
        net::ARGUMENTS
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
