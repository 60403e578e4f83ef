//! What the runtime asks of a board.

use crate::arguments::Argument;
use core::{
    cell::Cell,
    task::{Context, Poll},
};
use critical_section::Mutex;

/// Hands text for a crash's report to the function it is given. Must work whatever has crashed.
pub type CrashReport = fn(&mut dyn FnMut(&[u8]));

/// The machine under the runtime. A board implements it.
pub trait Platform: Sync {
    /// Returns the board's name.
    fn board(&self) -> &'static str;

    /// Returns the CPU's name.
    fn cpu(&self) -> &'static str;

    /// Returns the boot arguments that this board alone has, and has read by itself.
    fn arguments(&self) -> &'static [Argument<'static>] {
        &[]
    }

    /// Returns the time since boot in microseconds; never goes back.
    fn now_us(&self) -> u64;

    /// Hands to `absorb` what the board's sources of entropy have at hand, without waiting for them. Called
    /// now and then while random numbers are drawn, with feature `reseed`.
    fn refresh_entropy(&self, _absorb: &mut dyn FnMut(&[u8])) {}

    /// Handles the interrupts that are pending, and returns at once.
    fn dispatch_interrupts(&self);

    /// Sleeps until an interrupt, until [`Self::wake`], or until `deadline_us` on the clock of
    /// [`Self::now_us`], and handles what is pending. May return early.
    fn sleep(&self, deadline_us: Option<u64>);

    /// Ends [`Self::sleep`], now or the next one. Called from any thread that the platform has.
    fn wake(&self);

    /// Writes text to the console.
    fn write(&self, text: &[u8]);

    /// Takes console input: ready with how many bytes it put into `buffer`, at least one. One task
    /// waits at a time.
    fn poll_read(&self, _context: &mut Context<'_>, _buffer: &mut [u8]) -> Poll<usize> {
        Poll::Pending
    }

    /// Has a crash (a panic or CPU exception) print what `report` gives, after its own words.
    fn set_crash_report(&self, _report: CrashReport) {}

    /// Hands to `gauge` what this board alone counts, for the metrics page: the name, the help text and the
    /// number of each.
    fn gauges(&self, _gauge: &mut dyn FnMut(&str, &str, u64)) {}

    /// Ends the process or stops the machine.
    fn exit(&self, code: ExitCode) -> !;
}

/// How an app ended, as a process would say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum ExitCode {
    /// The app returned `Ok`.
    Success = 0,
    /// The app returned an error.
    Failure = 1,
    /// A boot argument was wrong.
    Usage = 2,
}

static PLATFORM: Mutex<Cell<Option<&'static dyn Platform>>> = Mutex::new(Cell::new(None));

pub(crate) fn install(platform: &'static dyn Platform) {
    critical_section::with(|cs| PLATFORM.borrow(cs).set(Some(platform)));
}

/// Returns the platform once [`crate::run`] has begun.
pub(crate) fn get() -> Option<&'static dyn Platform> {
    critical_section::with(|cs| PLATFORM.borrow(cs).get())
}
