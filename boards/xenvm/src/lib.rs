//! The board `xenvm`: an aarch64 guest of Xen, as `xl create` starts it.
//!
//! Boot, as `start` does it: the device tree; the map of memory, the MMU and the heap; the console,
//! of which Xen tells only by hypercalls, so that text from before waits; clock and interrupt
//! controller; event channels, grant table and xenstore (`xen`); the time of day; entropy; the network
//! cards (`net`); then the runtime, whose `System::board` hands out `Xen`. What can fail says on the
//! console what it tries before it does.
// Bare metal only: on a host there is nothing to link it to.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

mod console;
mod entropy;
mod machine;
mod net;
mod power;
mod time;
mod xen;

pub use xen::Xen;

use alloc::{boxed::Box, string::String};
use core::task::{Context, Poll};
use landfall::{App, CrashReport, Devices, ExitCode, Peripherals, Platform};
use landfall_arch::{boot_log, crash};
use landfall_bare_metal::{irq, machine::Core, memory};
use landfall_device_tree::DeviceTree;
use machine::Machine;

/// Boots the machine that `device_tree` (its physical address) describes, and runs `app` on it.
pub fn start(device_tree: usize, app: App) -> ! {
    start_as(&XenVm("xenvm"), device_tree, app)
}

/// The same for a board of another name, whose guests differ in their CPU only.
pub fn start_as(board: &'static XenVm, device_tree: usize, app: App) -> ! {
    let machine = Machine::read(device_tree);
    let (core, node) = match machine {
        Ok(Machine {
            core,
            xen: Some(node),
        }) => (core, node),
        Ok(Machine { core, xen: None }) => refuse(&core),
        Err(error) => {
            console::init();
            fail(format_args!("{error}"))
        }
    };
    console::init();
    crash::set_terminator(power::stop);
    boot_log!(
        "Landfall {} on board {}, {}, {} MiB of RAM",
        env!("CARGO_PKG_VERSION"),
        board.0,
        landfall_arch::cpu_name(),
        core.memory.bytes() >> 20
    );
    let (tree, mut map) = memory::init(&core, core::iter::empty());
    console::connect_page(&mut map);
    landfall_bare_metal::time::init();
    irq::init(&core);
    let xen = match xen::init(node, &mut map) {
        Ok(xen) => xen,
        Err(error) => fail(format_args!("{error}")),
    };
    let clock = time::read(&xen);
    power::arm_watchdog();
    let seed = entropy::seed(tree.rng_seed().ok().flatten());
    let arguments = tree.boot_arguments().unwrap_or_else(|error| {
        boot_log!("boot arguments: {error}; going on without");
        ""
    });
    let arguments = String::from(arguments);
    let (network, mut tasks) = net::init(&xen, core.memory.bytes());
    tasks.push(xen.store_task());
    boot_log!("starting the app");
    let devices = Devices {
        arguments,
        clock,
        seed,
        network,
        tasks,
        shutdown: Some(power::shutdown_requested(xen.store.clone())),
        peripherals: Peripherals::default(),
        board: Some(Box::new(xen)),
    };
    landfall::run(board, devices, app)
}

/// Says on the console of a machine that Xen did not make that this image is not for it, and stops the machine.
fn refuse(machine: &Core) -> ! {
    use landfall_bare_metal::{power, uart};
    crash::set_terminator(power::stop);
    if let Ok(Some(device)) = DeviceTree::new(machine.tree).and_then(|tree| tree.console()) {
        uart::init(&device);
    }
    power::set_conduit(machine.psci);
    boot_log!(
        "this image is for guests of Xen, and this machine is none: its device tree has no node xen,xen with \
         memory and an interrupt; start the image with `xl create`, or build it for another board"
    );
    power::stop(ExitCode::Failure as u8)
}

/// Says why this domain cannot go on, and ends it.
fn fail(why: core::fmt::Arguments<'_>) -> ! {
    boot_log!("{why}");
    power::stop(ExitCode::Failure as u8)
}

/// The board, by its name.
pub struct XenVm(pub &'static str);

impl Platform for XenVm {
    fn board(&self) -> &'static str {
        self.0
    }

    fn cpu(&self) -> &'static str {
        landfall_arch::cpu_name()
    }

    fn now_us(&self) -> u64 {
        landfall_bare_metal::time::now_us()
    }

    fn refresh_entropy(&self, absorb: &mut dyn FnMut(&[u8])) {
        entropy::refresh(absorb);
    }

    fn dispatch_interrupts(&self) {
        power::keep_watchdog();
        irq::dispatch();
    }

    fn sleep(&self, deadline_us: Option<u64>) {
        landfall_bare_metal::time::set_deadline(power::sleep_until(deadline_us));
        landfall_arch::wait_for_interrupt();
        irq::dispatch();
    }

    fn wake(&self) {
        // One core, and interrupts are handled only in `sleep`: who wakes is awake.
    }

    fn write(&self, text: &[u8]) {
        landfall_arch::console::write(text);
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        console::poll_read(context, buffer)
    }

    fn set_crash_report(&self, report: CrashReport) {
        crash::set_report(report);
    }

    fn gauges(&self, gauge: &mut dyn FnMut(&str, &str, u64)) {
        xen::gauges(gauge);
    }

    fn exit(&self, code: ExitCode) -> ! {
        power::stop(code as u8)
    }
}
