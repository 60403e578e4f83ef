//! The end of the domain: at its own wish, at the toolstack's, by a crash, and by Xen's watchdog when
//! it hangs.

use crate::console;
use alloc::boxed::Box;
use core::cell::{Cell, RefCell};
use critical_section::Mutex;
use futures_util::StreamExt;
use landfall::{BoardTask, ExitCode};
use landfall_arch::{boot_log, crash};
use landfall_bare_metal::time::now_us;
use xen_arm::{
    hypercall::{self, ShutdownReason},
    watchdog::Watchdog,
    xenstore::{Cause, StoreError, Xenstore},
};

/// How long the executor may not come back before the domain counts as hung. Xen's watchdog runs on while a
/// domain is paused, so this is also how long a busy domain can be paused and live.
const WATCHDOG_S: u32 = 30;

/// Why the domain ends when it ends well.
static REASON: Mutex<Cell<ShutdownReason>> = Mutex::new(Cell::new(ShutdownReason::PowerOff));

static WATCHDOG: Mutex<RefCell<Option<Watchdog>>> = Mutex::new(RefCell::new(None));

/// Ends the domain.
///
/// What becomes of it, its configuration says: `on_crash=` after a crash and after an app that failed,
/// `on_reboot=` when a reboot was asked for, `on_poweroff=` otherwise: a domain with wrong arguments
/// would only end again.
pub(crate) fn stop(code: u8) -> ! {
    const CRASHED: [u8; 2] = [crash::EXIT_CODE, ExitCode::Failure as u8];
    let asked = critical_section::with(|cs| REASON.borrow(cs).get());
    let reason = if CRASHED.contains(&code) {
        ShutdownReason::Crash
    } else {
        asked
    };
    console::flush();
    hypercall::shutdown(reason);
    boot_log!("Xen does not end this domain; it sleeps");
    loop {
        landfall_arch::wait_for_interrupt();
    }
}

/// Has Xen watch over this domain from now on.
pub(crate) fn arm_watchdog() {
    match Watchdog::new(WATCHDOG_S, now_us()) {
        Ok(watchdog) => {
            critical_section::with(|cs| WATCHDOG.borrow_ref_mut(cs).replace(watchdog));
        }
        Err(error) => boot_log!("no watchdog: {error}"),
    }
}

fn with_watchdog<R>(work: impl FnOnce(&mut Watchdog) -> R) -> Option<R> {
    critical_section::with(|cs| WATCHDOG.borrow_ref_mut(cs).as_mut().map(work))
}

/// Tells Xen that the executor runs.
pub(crate) fn keep_watchdog() {
    with_watchdog(|it| it.run(now_us()));
}

/// Returns when a sleep until `deadline_us` has to end for the watchdog's sake.
pub(crate) fn sleep_until(deadline_us: Option<u64>) -> Option<u64> {
    with_watchdog(|it| it.sleep(now_us(), deadline_us)).unwrap_or(deadline_us)
}

/// Ready when the toolstack wants this domain to end (`xl shutdown`, `xl reboot`).
pub(crate) fn shutdown_requested(store: Xenstore) -> BoardTask {
    Box::pin(async move {
        if let Err(error) = wait_for_request(&store).await {
            landfall_log::warn!(target: "xen", "{error}; only `xl destroy` will end this domain");
            core::future::pending().await
        }
    })
}

/// Where the toolstack writes what it wants (Xen docs/misc/xenstore-paths.pandoc).
const REQUEST: &str = "control/shutdown";

async fn wait_for_request(store: &Xenstore) -> Result<(), StoreError> {
    for feature in ["control/feature-poweroff", "control/feature-reboot"] {
        store.write(feature, 1).await?;
    }
    let mut changes = store.watch(REQUEST).await?;
    loop {
        changes.next().await;
        let request = match store.read(REQUEST).await {
            Err(error) if error.cause == Cause::NotFound => continue,
            other => other?,
        };
        if request.is_empty() {
            continue;
        }
        // The empty value says that it was heard.
        store.write(REQUEST, "").await?;
        landfall_log::info!(target: "xen", "asked to end: {request}");
        match request.as_str() {
            "poweroff" | "halt" => return Ok(()),
            "reboot" => {
                critical_section::with(|cs| REASON.borrow(cs).set(ShutdownReason::Reboot));
                return Ok(());
            }
            other => landfall_log::warn!(target: "xen", "this domain does not know how to {other}"),
        }
    }
}
