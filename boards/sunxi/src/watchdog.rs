//! The watchdog, which the executor feeds whenever it comes to rest: a hang resets the board.

use crate::machine;
use core::{cell::RefCell, ptr::NonNull};
use critical_section::Mutex;
use landfall_arch::boot_log;
use landfall_bare_metal::time::now_us;
use landfall_drivers::sunxi_watchdog::{INTERVAL_US, Watchdog};
use safe_mmio::UniqueMmioPointer;

/// How long the CPU may sleep until the next meal.
const MEAL_US: u64 = INTERVAL_US / 2;

static WATCHDOG: Mutex<RefCell<Option<Watchdog<'static>>>> = Mutex::new(RefCell::new(None));

/// Starts it, where there is one.
pub(crate) fn start(registers: Option<&machine::Watchdog>) {
    let Some(mut watchdog) = registers.and_then(watchdog) else {
        boot_log!("the device tree has no watchdog: a hang would last");
        return;
    };
    boot_log!("starting the watchdog: {} s", INTERVAL_US / 1_000_000);
    watchdog.start();
    critical_section::with(|cs| WATCHDOG.borrow_ref_mut(cs).replace(watchdog));
}

fn watchdog(registers: &machine::Watchdog) -> Option<Watchdog<'static>> {
    // SAFETY (of both kinds): The device tree says that such registers are here; `memory` mapped them, and nothing else
    // on this board has their address.
    Some(match registers {
        machine::Watchdog::Sun4i(registers) => {
            let registers = NonNull::new(registers.start as *mut _)?;
            // SAFETY: As above.
            Watchdog::Sun4i(unsafe { UniqueMmioPointer::new(registers) })
        }
        machine::Watchdog::Sun6i(registers) => {
            let registers = NonNull::new(registers.start as *mut _)?;
            // SAFETY: As above.
            Watchdog::Sun6i(unsafe { UniqueMmioPointer::new(registers) })
        }
    })
}

/// Has it reset the board, where there is one; returns when that did not happen.
pub(crate) fn reset() {
    /// Much more than half a second.
    const PATIENCE_US: u64 = 2_000_000;
    with(Watchdog::reset);
    let deadline = now_us() + PATIENCE_US;
    while now_us() < deadline {
        core::hint::spin_loop();
    }
}

/// Stops it.
pub(crate) fn stop() {
    with(Watchdog::stop);
}

fn with(action: impl FnOnce(&mut Watchdog<'static>)) {
    critical_section::with(|cs| {
        // Taken only when a crash interrupts a meal.
        if let Ok(mut watchdog) = WATCHDOG.borrow(cs).try_borrow_mut()
            && let Some(watchdog) = watchdog.as_mut()
        {
            action(watchdog);
        }
    });
}

/// Feeds it; returns until when the CPU may sleep that wants to until `deadline_us`.
pub(crate) fn feed(deadline_us: Option<u64>) -> Option<u64> {
    critical_section::with(|cs| {
        let mut watchdog = WATCHDOG.borrow_ref_mut(cs);
        let Some(watchdog) = watchdog.as_mut() else {
            return deadline_us;
        };
        watchdog.feed();
        let meal = now_us() + MEAL_US;
        Some(deadline_us.map_or(meal, |deadline| deadline.min(meal)))
    })
}
