//! The board `virt`: the machine of that name of QEMU and KVM, aarch64; and what `virt-armv7` shares with it.
//!
//! Everything is found through the device tree. Boot, as `start` does it: the console, before
//! the MMU is on; the map of memory, the MMU and the heap; the clock (`time`); the interrupt
//! controller; entropy; the network card (`net`); then the runtime. What can fail says on the
//! console what it tries before it does.
// Bare metal only: on a host there is nothing to link it to.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

mod entropy;
mod machine;
mod net;
mod time;
mod translations;

use alloc::string::String;
use landfall::{App, CrashReport, Devices, ExitCode, Peripherals, Platform};
use landfall_arch::{boot_log, crash};
use landfall_bare_metal::{irq, memory, power, time::now_us};
use machine::Machine;

/// Boots the machine that `device_tree` (its physical address) describes, and runs `app` on it.
pub fn start(device_tree: usize, app: App) -> ! {
    start_as(&Virt("virt"), device_tree, app)
}

/// The same for a board of another name, whose machine differs in its CPU only.
pub fn start_as(board: &'static Virt, device_tree: usize, app: App) -> ! {
    crash::set_terminator(power::stop);
    let machine = match Machine::read(device_tree) {
        Ok(machine) => machine,
        Err(error) => {
            // Perhaps there is no console either but a simulator's.
            landfall_arch::console::set_writer(landfall_arch::semihosting::write);
            boot_log!("{error}; has the machine enough memory?");
            power::stop(ExitCode::Failure as u8)
        }
    };
    boot_log!(
        "Landfall {} on board {}, {}, {} MiB of RAM",
        env!("CARGO_PKG_VERSION"),
        board.0,
        landfall_arch::cpu_name(),
        machine.core.memory.bytes() >> 20
    );
    power::set_conduit(machine.core.psci);
    let (tree, _) = memory::init(&machine.core, machine.registers());
    let clock = time::init(&machine);
    irq::init(&machine.core);
    let mut slots = net::probe(&machine);
    let seed = entropy::seed(tree.rng_seed().ok().flatten(), slots.entropy.take());
    let arguments = tree.boot_arguments().unwrap_or_else(|error| {
        boot_log!("boot arguments: {error}; going on without");
        ""
    });
    let (network, tasks) = net::init(slots, machine.core.memory.bytes());
    let devices = Devices {
        arguments: String::from(arguments),
        clock,
        seed,
        network,
        tasks,
        shutdown: None,
        peripherals: Peripherals::default(),
        board: None,
    };
    boot_log!("starting the app");
    landfall::run(board, devices, app)
}

/// The board, by its name.
pub struct Virt(pub &'static str);

impl Platform for Virt {
    fn board(&self) -> &'static str {
        self.0
    }

    fn cpu(&self) -> &'static str {
        landfall_arch::cpu_name()
    }

    fn now_us(&self) -> u64 {
        now_us()
    }

    fn refresh_entropy(&self, absorb: &mut dyn FnMut(&[u8])) {
        entropy::refresh(absorb);
    }

    fn dispatch_interrupts(&self) {
        irq::dispatch();
    }

    fn sleep(&self, deadline_us: Option<u64>) {
        landfall_bare_metal::time::set_deadline(deadline_us);
        translations::discard_old();
        landfall_arch::wait_for_interrupt();
        irq::dispatch();
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
