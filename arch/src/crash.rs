//! The end of an image that cannot go on: what a panic and a CPU exception print, and how they
//! stop the machine.

use crate::{
    console::Console,
    image::{self, Layout},
};
use core::{cell::Cell, fmt::Write, panic::PanicInfo};
use critical_section::Mutex;

/// The exit code of a panic or CPU exception, the one of a Rust process that panicked.
pub const EXIT_CODE: u8 = 101;

/// Stops the machine, handing over the code to whoever can take it.
pub type Terminator = fn(code: u8) -> !;

/// Hands text to the function it is given.
pub type Report = fn(&mut dyn FnMut(&[u8]));

static TERMINATOR: Mutex<Cell<Option<Terminator>>> = Mutex::new(Cell::new(None));
static REPORT: Mutex<Cell<Option<Report>>> = Mutex::new(Cell::new(None));
static CRASHING: Mutex<Cell<bool>> = Mutex::new(Cell::new(false));

/// Sets how a crashed image stops; until then it sleeps for good.
pub fn set_terminator(terminator: Terminator) {
    critical_section::with(|cs| TERMINATOR.borrow(cs).set(Some(terminator)));
}

/// Sets what a crash prints after its own words.
pub fn set_report(report: Report) {
    critical_section::with(|cs| REPORT.borrow(cs).set(Some(report)));
}

/// Marks the image as crashing; a crash within a crash stops at once.
pub(crate) fn begin() {
    if critical_section::with(|cs| CRASHING.borrow(cs).replace(true)) {
        let _ = writeln!(Console, "crashed again while reporting a crash");
        end()
    }
}

#[cold]
#[inline(never)]
/// Prints the report and stops the machine with [`EXIT_CODE`].
pub(crate) fn end() -> ! {
    // Taken, so that one that crashes is not asked again.
    if let Some(report) = critical_section::with(|cs| REPORT.borrow(cs).take()) {
        report(&mut crate::console::write);
    }
    stop(EXIT_CODE)
}

/// Stops the machine with `code`, in the way that [`set_terminator`] set.
pub fn stop(code: u8) -> ! {
    match critical_section::with(|cs| TERMINATOR.borrow(cs).get()) {
        Some(terminator) => terminator(code),
        None => loop {
            crate::wait_for_interrupt();
        },
    }
}

/// Prints return addresses as offsets in the image, which are addresses in its ELF file.
///
/// Follows the frame records (AAPCS64, 6.4.6 "The frame pointer"; on ARMv7 AAPCS32, 6.2.1.4, with r11) from
/// `frame` on as long as they lie in one of the image's stacks, in rising order.
pub(crate) fn print_backtrace(program_counter: Option<u64>, mut frame: u64) {
    let layout = image::layout();
    let mut lines = Backtrace {
        start: layout.whole.start,
        number: 0,
        last: 0,
        repeated: 0,
    };
    let _ = writeln!(Console, "backtrace:");
    if let Some(address) = program_counter {
        lines.print(address);
    }
    while let Some((next, return_address)) = frame_record(frame, &layout) {
        if !layout.text.contains(&return_address) || lines.number == Backtrace::LONGEST {
            break;
        }
        lines.print(crate::call_before(return_address));
        if next <= frame {
            break;
        }
        frame = next;
    }
    lines.end_repetition();
}

/// The lines of a backtrace; a call that repeats, as in an endless recursion, is printed once.
struct Backtrace {
    start: u64,
    number: usize,
    last: u64,
    repeated: usize,
}

impl Backtrace {
    /// Lines enough for any honest stack; a corrupt one must not print for ever.
    const LONGEST: usize = 64;

    fn print(&mut self, address: u64) {
        if address == self.last {
            self.repeated += 1;
            return;
        }
        self.end_repetition();
        self.last = address;
        let offset = address.wrapping_sub(self.start);
        let _ = writeln!(Console, "  #{} image+{offset:#x}", self.number);
        self.number += 1;
    }

    fn end_repetition(&mut self) {
        if self.repeated > 0 {
            let _ = writeln!(Console, "     and {} more calls from there", self.repeated);
            self.repeated = 0;
        }
    }
}

/// Returns the frame record at `frame` when it lies in a stack.
fn frame_record(frame: u64, layout: &Layout) -> Option<(u64, u64)> {
    const WORD: u64 = size_of::<usize>() as u64;
    let inside = |stack: &core::ops::Range<u64>| {
        let end = frame.saturating_add(2 * WORD - 1);
        stack.contains(&frame) && stack.contains(&end) && frame.is_multiple_of(WORD)
    };
    if !inside(&layout.stack) && !inside(&layout.exception_stack) {
        return None;
    }
    let record = frame as *const usize;
    // SAFETY: Two aligned words within a stack of this image, which is mapped.
    let (next, address) = unsafe { (record.read(), record.add(1).read()) };
    Some((next as u64, address as u64))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    begin();
    let _ = writeln!(Console, "\nPANIC: {}", info.message());
    if let Some(location) = info.location() {
        let _ = writeln!(
            Console,
            "  at {}:{}:{}",
            location.file(),
            location.line(),
            location.column()
        );
    }
    print_backtrace(None, crate::frame_pointer());
    end()
}
