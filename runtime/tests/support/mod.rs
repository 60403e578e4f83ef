//! A machine for the runtime, inside the test: its clock jumps to the next deadline when nothing is
//! runnable, its console is a text, and its cards keep what they are given to send.
//!
//! Everything under test is the real thing: [`landfall::run`] and all that it starts.

// Each test binary uses its own part of this, and `pub` is as far as it goes.
#![allow(dead_code, unreachable_pub)]

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use landfall::SegmentationOffload;
use landfall::{
    App, BoardClock, BoardTask, Card, Devices, ExitCode, NetworkDevice, Peripherals, Platform,
    Seed, System,
};
use std::{
    cell::RefCell,
    fmt::Display,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Context,
};

/// The one machine. Scenarios of a test program take turns at it: the runtime has one platform and
/// one timer queue in a process.
struct Machine {
    now_us: AtomicU64,
    console: Mutex<String>,
}

static MACHINE: Machine = Machine {
    now_us: AtomicU64::new(0),
    console: Mutex::new(String::new()),
};

static TURN: Mutex<()> = Mutex::new(());

impl Platform for Machine {
    fn board(&self) -> &'static str {
        "test"
    }

    fn cpu(&self) -> &'static str {
        "none"
    }

    fn now_us(&self) -> u64 {
        self.now_us.load(Ordering::Relaxed)
    }

    fn dispatch_interrupts(&self) {}

    fn sleep(&self, deadline_us: Option<u64>) {
        let deadline = deadline_us.expect("someone waits for a time, or nothing happens any more");
        self.now_us.fetch_max(deadline, Ordering::Relaxed);
    }

    fn wake(&self) {}

    fn write(&self, text: &[u8]) {
        let text = str::from_utf8(text).expect("the console's text is UTF-8");
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        console.push_str(text);
    }

    fn gauges(&self, gauge: &mut dyn FnMut(&str, &str, u64)) {
        gauge("landfall_plugs_used", "What this board alone has.", 7);
    }

    fn exit(&self, code: ExitCode) -> ! {
        // Without the message of a panic: this is how a scenario ends.
        panic::resume_unwind(Box::new(code))
    }
}

/// How a scenario ended.
pub struct Ended {
    pub code: ExitCode,
    /// Milliseconds after its start.
    pub after_ms: u64,
    pub console: String,
}

impl Ended {
    /// Checks that some line of the console has `text` in it.
    pub fn says(&self, text: &str) {
        assert!(self.console.contains(text), "{text:?}:\n{}", self.console);
    }
}

/// What a scenario begins with.
#[derive(Default)]
pub struct Scenario {
    pub arguments: &'static str,
    pub cards: Vec<Wire>,
    pub peripherals: Peripherals,
    /// Instead of cards: the sockets of this host.
    pub host_sockets: bool,
    /// When the system is asked to end, after its start.
    pub shutdown_ms: Option<u64>,
}

impl Scenario {
    /// Runs `main` as an app, to the end of the machine.
    pub fn run<F, E>(self, main: impl FnOnce(System) -> F + 'static) -> Ended
    where
        F: Future<Output = Result<(), E>> + 'static,
        E: Display,
    {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let started_us = MACHINE.now_us();
        let app = App::new(move |system, (): ()| main(system));
        let devices = self.devices();
        let end = panic::catch_unwind(AssertUnwindSafe(|| landfall::run(&MACHINE, devices, app)));
        let mut console = MACHINE.console.lock().expect("nobody fails while writing");
        let console = std::mem::take(&mut *console);
        match end.map_err(|reason| reason.downcast::<ExitCode>()) {
            Err(Ok(code)) => Ended {
                code: *code,
                after_ms: (MACHINE.now_us() - started_us) / 1000,
                console,
            },
            Err(Err(failure)) => {
                eprintln!("{console}");
                panic::resume_unwind(failure)
            }
        }
    }

    fn devices(self) -> Devices {
        let asked = |after| -> BoardTask { Box::pin(embassy_time::Timer::after_millis(after)) };
        let network = match (self.host_sockets, self.cards.is_empty()) {
            (true, _) => NetworkDevice::HostSockets,
            (false, true) => NetworkDevice::None,
            (false, false) => NetworkDevice::Cards(self.cards.into_iter().map(Card::new).collect()),
        };
        Devices {
            arguments: self.arguments.into(),
            clock: BoardClock::None,
            seed: seed(),
            network,
            tasks: Vec::new(),
            shutdown: self.shutdown_ms.map(asked),
            peripherals: self.peripherals,
            board: None,
        }
    }
}

fn seed() -> Seed {
    let mut seed = Seed::new("");
    seed.add(
        "test",
        &std::array::from_fn::<u8, 32, _>(|index| index as u8),
    );
    seed
}

/// A network card on a wire with nobody at its other end. Clones are the same wire.
#[derive(Clone, Default)]
pub struct Wire(Rc<RefCell<Vec<Vec<u8>>>>);

impl Wire {
    /// Returns whether a frame was sent in which `bytes` stand at `place`.
    pub fn carried(&self, place: usize, bytes: &[u8]) -> bool {
        let frames = self.0.borrow();
        let mut frames = frames.iter().filter_map(|frame| frame.get(place..));
        frames.any(|rest| rest.starts_with(bytes))
    }
}

impl SegmentationOffload for Wire {}

impl Driver for Wire {
    type RxToken<'a> = Never;
    type TxToken<'a> = &'a Wire;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Never, &Wire)> {
        None
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<&Wire> {
        Some(self)
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2, 0, 0, 0, 0, 1])
    }
}

/// A frame that never comes.
pub enum Never {}

impl embassy_net_driver::RxToken for Never {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: F) -> R {
        match self {}
    }
}

impl embassy_net_driver::TxToken for &Wire {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.borrow_mut().push(frame);
        result
    }
}
