//! The end of a system that was asked to end: the app is told, its connections close, and the
//! platform ends.
//!
//! An app hears of it by [`System::shutdown_requested`], or by listeners that accept no more; both
//! let it return from `main` in its own time, up to a limit. An app that hears neither is ended all
//! the same.

use crate::{BoardTask, ExitCode, System, network::Network};
use alloc::{string::String, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use embassy_time::{Duration, Timer};
use landfall_log::{error, info, warn};

/// How long the app has for its end.
const APP: Duration = Duration::from_millis(500);
/// How long its connections have for theirs.
const CONNECTIONS: Duration = Duration::from_millis(300);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Whether the system was asked to end, and who waits to hear of it.
#[derive(Default)]
pub(crate) struct Request {
    made: Cell<bool>,
    tickets: Cell<u64>,
    waiting: RefCell<Vec<(u64, Waker)>>,
}

impl Request {
    pub(crate) fn is_made(&self) -> bool {
        self.made.get()
    }

    /// Ready once it is made.
    pub(crate) fn heard(&self) -> Heard<'_> {
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        Heard {
            request: self,
            ticket,
        }
    }

    pub(crate) fn make(&self) {
        self.made.set(true);
        let waiting = self.waiting.take().into_iter();
        waiting.for_each(|(_, waker)| waker.wake());
    }
}

/// Waits for a [`Request`]; leaves nothing behind when it is dropped.
pub(crate) struct Heard<'a> {
    request: &'a Request,
    ticket: u64,
}

impl Future for Heard<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.request.is_made() {
            return Poll::Ready(());
        }
        let mut waiting = self.request.waiting.borrow_mut();
        match waiting.iter_mut().find(|(known, _)| *known == self.ticket) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => waiting.push((self.ticket, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        let mut waiting = self.request.waiting.borrow_mut();
        waiting.retain(|(known, _)| *known != self.ticket);
    }
}

/// Waits until the system is asked to end; then ends it, with the app or without.
pub(crate) async fn obey(asked: BoardTask, system: System) {
    asked.await;
    system.shutdown_request().make();
    if let Ok(network) = system.network() {
        network.shut_down();
    }
    Timer::after(APP).await;
    warn!(target: "app", "it did not end within {} ms and is ended", APP.as_millis());
    finish(&system, Ok(())).await
}

/// Ends the platform after the app has ended: with a code that says how, and with its last data on
/// their way.
pub(crate) async fn finish(system: &System, ended: Result<(), String>) {
    let code = match ended {
        Ok(()) => {
            info!(target: "app", "ended");
            ExitCode::Success
        }
        Err(failure) if system.shutdown_request().is_made() => {
            info!(target: "app", "ended: {failure}");
            ExitCode::Success
        }
        Err(failure) => {
            error!(target: "app", "{failure}");
            ExitCode::Failure
        }
    };
    if let Ok(network) = system.network() {
        drain(&network).await;
    }
    #[cfg(feature = "syslog")]
    crate::logging::syslog::drain().await;
    system.platform().exit(code)
}

/// Waits until all connections are closed, for a while.
async fn drain(network: &Network) {
    network.shut_down();
    for _ in 0..CONNECTIONS.as_millis() / LOOK.as_millis() {
        if network.is_drained() {
            return;
        }
        Timer::after(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;

    #[test]
    fn who_waits_no_more_is_forgotten() {
        let request = Request::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut one = Box::pin(request.heard());
        let mut other = Box::pin(request.heard());
        assert!(one.as_mut().poll(&mut context).is_pending());
        assert!(other.as_mut().poll(&mut context).is_pending());
        assert_eq!(request.waiting.borrow().len(), 2);
        drop(one);
        assert_eq!(request.waiting.borrow().len(), 1);
        request.make();
        assert!(other.as_mut().poll(&mut context).is_ready());
        assert!(request.waiting.borrow().is_empty());
    }
}
