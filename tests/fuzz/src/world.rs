//! Time and tasks: a clock that stands still until a target moves it, and no executor but [`World::settle`].

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use landfall::{ExitCode, Platform, simulated};

/// The machine that timers go by. There is one in a process.
struct Machine(AtomicU64);

static MACHINE: Machine = Machine(AtomicU64::new(0));

/// Who moves the clock now: tests of one process take turns.
static TURN: Mutex<()> = Mutex::new(());

/// When each world begins, in microseconds: not at zero, as some time has passed when an app starts.
const START_US: u64 = 1_000_000;

/// No input makes tasks run so often before time has to pass.
const MOST_ROUNDS: usize = 100_000;

impl Platform for Machine {
    fn board(&self) -> &'static str {
        "fuzz"
    }

    fn cpu(&self) -> &'static str {
        "none"
    }

    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn dispatch_interrupts(&self) {}

    fn sleep(&self, _: Option<u64>) {}

    fn wake(&self) {}

    fn write(&self, _: &[u8]) {}

    fn exit(&self, code: ExitCode) -> ! {
        panic!("nothing here ends the machine: {code:?}")
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
}

/// Tasks, and the time that they live in.
pub(crate) struct World {
    tasks: Vec<Task>,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        MACHINE.0.store(START_US, Ordering::Relaxed);
        simulated::install(&MACHINE);
        Self {
            tasks: Vec::new(),
            _turn: turn,
        }
    }

    /// Runs `future` beside all others.
    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        self.tasks.push(Task {
            future: Box::pin(future),
            flag: Arc::new(Flag(AtomicBool::new(true))),
        });
    }

    /// Polls whatever was woken, until nothing is.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MOST_ROUNDS {
            if !self.round() {
                return;
            }
        }
        panic!("tasks wake each other for ever");
    }

    /// Polls each task that was woken, once; returns whether there was one.
    fn round(&mut self) -> bool {
        let mut moved = false;
        self.tasks.retain_mut(|task| {
            if !task.flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            moved = true;
            let waker = Waker::from(task.flag.clone());
            let mut context = Context::from_waker(&waker);
            task.future.as_mut().poll(&mut context) == Poll::Pending
        });
        moved
    }

    /// Lets so many microseconds pass, from deadline to deadline.
    pub(crate) fn pass(&mut self, microseconds: u64) {
        let end = MACHINE.now_us() + microseconds;
        for _ in 0..MOST_ROUNDS {
            self.settle();
            let next = simulated::wake_expired(MACHINE.now_us());
            match next.filter(|at| *at <= end) {
                Some(at) => drop(MACHINE.0.fetch_max(at, Ordering::Relaxed)),
                None if MACHINE.now_us() < end => MACHINE.0.store(end, Ordering::Relaxed),
                None => return self.settle(),
            }
            simulated::wake_expired(MACHINE.now_us());
        }
        panic!("timers ring for ever");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Tasks first: what they drop may wake others.
        self.tasks.clear();
        // Timers of this world are none of the next one's.
        simulated::wake_expired(u64::MAX);
    }
}
