//! The board `sunxi`: machines with a 32-bit chip of Allwinner's, such as the Orange Pi's H3 and the Cubieboard's A10, with
//! nothing under the app but, where there is one, U-Boot's secure monitor.
//!
//! Everything is found through the device tree that U-Boot passes on. Boot, as `start` does it: the console, before the
//! MMU is on; the map of memory, the MMU and the heap; the interrupt controller (`irq`); the clock (`time`); entropy; the
//! network card (`net`); the watchdog; I2C buses and LEDs (`peripherals`); then the runtime. What can fail says on the
//! console what it tries before it does it.
// Bare metal only: on a host there is nothing to link it to.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

mod entropy;
mod gpio;
mod i2c;
mod irq;
mod machine;
mod net;
mod peripherals;
mod pmic;
mod power;
mod time;
mod watchdog;

use alloc::string::String;
use landfall::{App, CrashReport, Devices, ExitCode, Platform, arguments::Argument};
use landfall_arch::{boot_log, crash};
use landfall_bare_metal::{irq::dispatch, memory, time::now_us};
use machine::Machine;

/// Boots the machine that `device_tree` (its physical address) describes, and runs `app` on it.
pub fn start(device_tree: usize, app: App) -> ! {
    crash::set_terminator(power::stop);
    let machine = match Machine::read(device_tree) {
        Ok(machine) => machine,
        Err(error) => {
            // There may be no console that could be found.
            boot_log!("{error}; was it passed to bootz?");
            power::stop(ExitCode::Failure as u8)
        }
    };
    boot_log!(
        "Landfall {} on board sunxi, {}, {} MiB of RAM",
        env!("CARGO_PKG_VERSION"),
        landfall_arch::cpu_name(),
        machine.core.memory.bytes() >> 20
    );
    landfall_bare_metal::power::set_conduit(machine.core.psci);
    let registers = machine.registers();
    let registers = registers.chain(peripherals::registers(machine.core.tree));
    let (tree, _) = memory::init(&machine.core, registers);
    // First the controller: without it no device's interrupt is known, and so no timer.
    irq::init(&machine).unwrap_or_else(|| {
        give_up("no interrupt controller that is known here: nothing would wake the CPU")
    });
    let clock = time::init(&machine)
        .unwrap_or_else(|| give_up("no timer that is known here: time would stand still"));
    let seed = entropy::seed(tree.rng_seed().ok().flatten());
    let arguments = tree.boot_arguments().unwrap_or_else(|error| {
        boot_log!("boot arguments: {error}; going on without");
        ""
    });
    let gpio = gpio::init(&tree);
    let (network, mut tasks) = net::init(&machine, &gpio);
    watchdog::start(machine.devices.watchdog.as_ref());
    let (peripherals, more) = peripherals::init(&tree, &gpio, arguments);
    tasks.extend(more);
    let devices = Devices {
        arguments: String::from(arguments),
        clock,
        seed,
        network,
        tasks,
        shutdown: None,
        peripherals,
        board: None,
    };
    boot_log!("starting the app");
    landfall::run(&Sunxi, devices, app)
}

/// Stops, for the device tree lacks what nothing works without.
fn give_up(what: &str) -> ! {
    boot_log!("the device tree has {what}; stopping");
    power::stop(ExitCode::Failure as u8)
}

struct Sunxi;

impl Platform for Sunxi {
    fn board(&self) -> &'static str {
        "sunxi"
    }

    fn cpu(&self) -> &'static str {
        landfall_arch::cpu_name()
    }

    fn arguments(&self) -> &'static [Argument<'static>] {
        i2c::ARGUMENTS
    }

    fn now_us(&self) -> u64 {
        now_us()
    }

    fn refresh_entropy(&self, absorb: &mut dyn FnMut(&[u8])) {
        entropy::refresh(absorb);
    }

    fn dispatch_interrupts(&self) {
        dispatch();
    }

    fn sleep(&self, deadline_us: Option<u64>) {
        landfall_bare_metal::time::set_deadline(watchdog::feed(deadline_us));
        landfall_arch::wait_for_interrupt();
        dispatch();
    }

    fn wake(&self) {
        // One core, and interrupts are handled only in `sleep`: who wakes is awake.
    }

    fn write(&self, text: &[u8]) {
        landfall_arch::console::write(text);
    }

    fn set_crash_report(&self, report: CrashReport) {
        crash::set_report(report);
    }

    fn exit(&self, code: ExitCode) -> ! {
        power::stop(code as u8)
    }
}
