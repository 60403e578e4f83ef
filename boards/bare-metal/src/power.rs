//! Stopping the machine: semihosting where a simulator offers it, else PSCI.

use core::cell::Cell;
use critical_section::Mutex;
use landfall_arch::{
    boot_log, crash,
    psci::{self, Conduit},
    semihosting,
};

static CONDUIT: Mutex<Cell<Option<Conduit>>> = Mutex::new(Cell::new(None));

/// Sets how the firmware is reached.
pub fn set_conduit(conduit: Option<Conduit>) {
    if conduit.is_none() {
        boot_log!("the device tree has no PSCI: this machine cannot turn itself off");
    }
    critical_section::with(|cs| CONDUIT.borrow(cs).set(conduit));
}

/// Stops with `code`.
///
/// A simulator is told the code. Otherwise a crash restarts the machine, and everything else turns
/// it off: a machine that was told wrong arguments would only stop again.
pub fn stop(code: u8) -> ! {
    semihosting::exit(code);
    if let Some(conduit) = critical_section::with(|cs| CONDUIT.borrow(cs).get()) {
        if code == crash::EXIT_CODE {
            psci::system_reset(conduit);
        } else {
            psci::system_off(conduit);
        }
    }
    boot_log!("stopped with code {code}");
    loop {
        landfall_arch::wait_for_interrupt();
    }
}
