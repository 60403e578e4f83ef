//! Runs tasks: `embassy-executor` with our pender, and sleep when nothing is runnable.

use crate::{
    platform::{self, Platform},
    time,
};
use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use embassy_executor::raw;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Set when a task became runnable.
static PENDED: AtomicBool = AtomicBool::new(false);

/// Called by the executor, from whichever thread wakes a task.
// An exported symbol is how `embassy-executor` finds its pender.
#[allow(unsafe_code)]
#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    // A task that wakes another while the first is being polled pends too: only the first tells
    // the platform.
    if !PENDED.swap(true, Ordering::AcqRel)
        && let Some(platform) = platform::get()
    {
        platform.wake();
    }
}

/// How often tasks became runnable since the start.
static WAKEUPS: AtomicU64 = AtomicU64::new(0);

/// Returns how often tasks became runnable, so that they ran.
pub(crate) fn wakeups() -> u64 {
    WAKEUPS.load(Ordering::Relaxed)
}

/// Starts tasks.
#[derive(Clone)]
pub(crate) struct Spawner(Rc<Inner>);

struct Inner {
    spawner: embassy_executor::Spawner,
    /// A task's storage must live for ever; one whose task has ended serves the next.
    storages: RefCell<Vec<&'static raw::TaskStorage<Task>>>,
}

impl Spawner {
    /// Runs `future` to its end beside all others.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task: Task = Box::pin(future);
        let mut storages = self.0.storages.borrow_mut();
        let claimed = storages
            .iter()
            .find_map(|storage| raw::AvailableTask::claim(storage));
        let claimed = claimed.unwrap_or_else(|| {
            let storage: &'static _ = Box::leak(Box::new(raw::TaskStorage::new()));
            storages.push(storage);
            raw::AvailableTask::claim(storage).expect("a new storage is free")
        });
        self.0.spawner.spawn(claimed.initialize(|| task));
    }
}

/// Runs what `start` spawns, and what that spawns, for ever.
pub(crate) fn run(platform: &'static dyn Platform, start: impl FnOnce(Spawner)) -> ! {
    let executor: &'static raw::Executor =
        Box::leak(Box::new(raw::Executor::new(core::ptr::null_mut())));
    start(Spawner(Rc::new(Inner {
        spawner: executor.spawner(),
        storages: RefCell::new(Vec::new()),
    })));
    loop {
        if PENDED.swap(false, Ordering::AcqRel) {
            WAKEUPS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: Called only here, on the one thread that runs `run`, never from a task.
            #[allow(unsafe_code)]
            unsafe {
                executor.poll();
            }
            platform.dispatch_interrupts();
        }
        let deadline = time::wake_expired(platform.now_us());
        if !PENDED.load(Ordering::Acquire) {
            platform.sleep(deadline);
        }
    }
}
