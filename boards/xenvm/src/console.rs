//! The console: Xen's PV console, which `xl console` shows.
//!
//! Where it is, only hypercalls tell, and those ask for memory that is mapped as normal memory. So text
//! from before the MMU is on waits here. A Xen that was built for debugging takes it at once, on its
//! own console. A domain that ends before its console is found writes what waits straight to it.

use core::{
    cell::RefCell,
    task::{Context, Poll},
};
use critical_section::Mutex;
use landfall_arch::{boot_log, console, mmu, translation::Memory};
use xen_arm::{Frame, console::Console, events::EventChannels, hypercall, memory::SharedMemory};

/// Enough for the boot log up to the MMU.
const WAITING: usize = 1024;

#[expect(
    clippy::large_enum_variant,
    reason = "a static, before there is a heap"
)]
enum State {
    /// Not found yet; so many bytes wait.
    Early([u8; WAITING], usize),
    Found(Console),
    Missing,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State::Early([0; WAITING], 0)));

/// Starts to collect text.
pub(crate) fn init() {
    console::set_writer(write);
}

fn with<R>(work: impl FnOnce(&mut State) -> R) -> Option<R> {
    critical_section::with(|cs| {
        // Taken only when a crash interrupts a line: then that line is lost rather than mixed up.
        let mut state = STATE.borrow(cs).try_borrow_mut().ok()?;
        Some(work(&mut state))
    })
}

fn write(text: &[u8]) {
    with(|state| match state {
        State::Early(waiting, length) => {
            let room = &mut waiting[*length..];
            let taken = text.len().min(room.len());
            room[..taken].copy_from_slice(&text[..taken]);
            *length += taken;
            // Permitted only by a Xen that was built for debugging.
            let _ = hypercall::console_write(text);
        }
        State::Found(console) => console.write(text),
        State::Missing => {}
    });
}

/// Maps the console's page and writes what waits; the MMU is on.
pub(crate) fn connect_page(map: &mut mmu::Map) {
    match Console::frame() {
        Ok(frame) => {
            let page = page(map, frame);
            found(page.map(Console::new));
        }
        Err(error) => {
            found(None);
            boot_log!("{error}");
        }
    }
}

/// Maps the page of a frame that Xen named.
pub(crate) fn page(map: &mut mmu::Map, frame: Frame) -> Option<SharedMemory> {
    let start = frame.address();
    let end = start.checked_add(Frame::BYTES as u64)?;
    map.add(start..end, Memory::Data).ok()?;
    // SAFETY: 1. It was mapped now, which fails for what is mapped already. 2. So nothing else uses
    // it but the value that is returned.
    Some(unsafe { SharedMemory::at(usize::try_from(start).ok()?, 1) })
}

fn found(console: Option<Console>) {
    with(|state| {
        let before = core::mem::replace(state, State::Missing);
        if let (State::Early(waiting, length), Some(mut console)) = (before, console) {
            console.write(&waiting[..length]);
            *state = State::Found(console);
        }
    });
}

/// Notifies the reader, and is notified, from now on.
pub(crate) fn connect_events(channels: &EventChannels) {
    let result = with(|state| match state {
        State::Found(console) => console.connect(channels),
        _ => Ok(()),
    });
    if let Some(Err(error)) = result {
        boot_log!("the console: {error}");
    }
}

/// Moves text on, at the console's events and whenever tasks have run.
pub(crate) fn pump() {
    with(|state| {
        if let State::Found(console) = state {
            console.pump();
        }
    });
}

/// Takes input.
pub(crate) fn poll_read(context: &Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
    let read = with(|state| match state {
        State::Found(console) => console.read(buffer, context),
        _ => 0,
    });
    match read {
        None | Some(0) => Poll::Pending,
        Some(length) => Poll::Ready(length),
    }
}

/// Sees to it that the reader has everything, before the domain ends.
pub(crate) fn flush() {
    with(|state| match state {
        State::Found(console) => console.flush(),
        State::Early(waiting, length) => {
            // Without the MMU, so perhaps past a cache: better than silence.
            let _ = Console::write_last_words(&waiting[..*length]);
        }
        State::Missing => {}
    });
}
