//! Ctrl-C and SIGTERM: the wish that the process ends.

use futures_util::task::AtomicWaker;
use landfall::BoardTask;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};
use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
};

/// Ready at the first of these signals. The second ends the process at once, as if nobody had caught
/// any.
///
/// # Errors
/// What the system says; the signals may then end the process as they always did.
pub(crate) fn shutdown_requested() -> io::Result<BoardTask> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, and raises it.
        flag::register_conditional_default(signal, asked.clone())?;
        flag::register(signal, asked.clone())?;
    }
    let waker = Arc::new(AtomicWaker::new());
    wake_at_signal(waker.clone())?;
    Ok(Box::pin(poll_fn(move |context| {
        waker.register(context.waker());
        match asked.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })))
}

/// Starts the thread that waits for the first signal.
fn wake_at_signal(waker: Arc<AtomicWaker>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            signals.forever().next();
            waker.wake();
        })?;
    Ok(())
}
