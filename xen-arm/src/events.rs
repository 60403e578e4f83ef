//! Event channels (`event_channel.h`, the 2-level ABI): notify another domain, and be notified, as a
//! future.
//!
//! A port is masked only while nobody has it. An event that arrives while nobody waits is
//! remembered, so that the next wait ends at once: nothing is lost, and many events before a wait
//! count as one.

use crate::{
    DomainId, XenError,
    hypercall::event_channel,
    shared_info::{SharedInfo, WORDS},
};
use alloc::{sync::Arc, vec::Vec};
use core::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    task::{Context, Poll, Waker},
};
use critical_section::Mutex;

/// How many ports the 2-level ABI has (`EVTCHN_2L_NR_CHANNELS`).
pub const PORTS: usize = WORDS * WORDS;

/// Why a port cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventError {
    /// Xen refused.
    Xen(XenError),
    /// The number is no port of this ABI.
    OutOfRange(u64),
    /// Somebody has the port already.
    Taken(u32),
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(error) => write!(f, "event channel: {error}"),
            Self::OutOfRange(port) => write!(f, "event channel {port} is out of range ({PORTS})"),
            Self::Taken(port) => write!(f, "event channel {port} is in use already"),
        }
    }
}

impl core::error::Error for EventError {}

impl From<XenError> for EventError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

/// All event channels of this domain. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct EventChannels(Arc<Mutex<RefCell<Inner>>>);

#[derive(Debug)]
struct Inner {
    info: SharedInfo,
    /// Indexed by port.
    ports: Vec<Option<Port>>,
    /// Wakers on their way out of `dispatch`; kept for its memory.
    woken: Vec<Waker>,
}

#[derive(Debug, Default)]
struct Port {
    fired: bool,
    waker: Option<Waker>,
}

impl EventChannels {
    /// Manages the event channels whose bits are in `info`.
    pub fn new(info: SharedInfo) -> Self {
        Self(Arc::new(Mutex::new(RefCell::new(Inner {
            info,
            ports: Vec::new(),
            woken: Vec::new(),
        }))))
    }

    fn with<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> R {
        critical_section::with(|cs| work(&mut self.0.borrow_ref_mut(cs)))
    }

    /// Wakes all whose events are pending. Called at Xen's interrupt; cheap when nothing is.
    pub fn dispatch(&self) {
        let mut woken = self.with(Inner::collect);
        // Outside of the critical section: a waker is anybody's code.
        woken.drain(..).for_each(Waker::wake);
        self.with(|inner| inner.woken = woken);
    }

    /// Reads what the shared info page says, such as the wall clock.
    pub fn shared_info<R>(&self, read: impl FnOnce(&SharedInfo) -> R) -> R {
        self.with(|inner| read(&inner.info))
    }

    /// Makes a port for `remote` to bind to.
    ///
    /// # Errors
    /// [`EventError::Xen`], [`XenError::NoSpace`] among it; [`XenError::NotPermitted`] for another guest
    /// where guests may have to do with dom0 only, which Xen's security module SILO sees to. On Arm it
    /// is the default; `xsm=dummy` among Xen's boot arguments allows it (`xen-command-line`).
    pub fn allocate(&self, remote: DomainId) -> Result<EventChannel, EventError> {
        let port = event_channel::allocate_unbound(remote)?;
        self.take(port, Closing::WithHandle)
    }

    /// Binds to the port that `remote` made for this domain.
    ///
    /// # Errors
    /// [`EventError::Xen`].
    pub fn bind(&self, remote: DomainId, port: u32) -> Result<EventChannel, EventError> {
        let port = event_channel::bind_interdomain(remote, port)?;
        self.take(port, Closing::WithHandle)
    }

    /// Takes a port that exists already, such as xenstore's; it stays open when it is dropped.
    ///
    /// # Errors
    /// [`EventError::OutOfRange`], [`EventError::Taken`].
    pub fn adopt(&self, port: u64) -> Result<EventChannel, EventError> {
        let port = u32::try_from(port).map_err(|_| EventError::OutOfRange(port))?;
        self.take(port, Closing::Never)
    }

    /// Returns how many ports are in use, for tests and status pages.
    pub fn used(&self) -> usize {
        self.with(|inner| inner.ports.iter().flatten().count())
    }

    fn take(&self, port: u32, closing: Closing) -> Result<EventChannel, EventError> {
        self.with(|inner| inner.open(port))?;
        Ok(EventChannel {
            channels: self.clone(),
            port,
            closing,
        })
    }
}

impl Inner {
    fn open(&mut self, port: u32) -> Result<(), EventError> {
        let index = port as usize;
        // Port 0 is never one (`event_channel.h`).
        if !(1..PORTS).contains(&index) {
            return Err(EventError::OutOfRange(port.into()));
        }
        if self.ports.len() <= index {
            self.ports.resize_with(index + 1, || None);
        }
        if self.ports[index].is_some() {
            return Err(EventError::Taken(port));
        }
        // An event from before is news to the one who has the port now.
        let fired = self.info.unmask(index);
        self.ports[index] = Some(Port { fired, waker: None });
        Ok(())
    }

    fn close(&mut self, port: u32) {
        self.info.mask(port as usize);
        self.ports[port as usize] = None;
    }

    fn port(&mut self, port: u32) -> &mut Port {
        let port = self.ports.get_mut(port as usize).and_then(Option::as_mut);
        port.expect("a channel's port is open as long as the channel")
    }

    /// Marks what is pending; returns whom to wake.
    fn collect(&mut self) -> Vec<Waker> {
        let mut woken = core::mem::take(&mut self.woken);
        if !self.info.take_upcall() {
            return woken;
        }
        for word in bits(self.info.take_selector()) {
            for bit in bits(self.info.take_pending(word)) {
                // A pending port that nobody has was closed meanwhile.
                if let Some(Some(port)) = self.ports.get_mut(word * WORDS + bit) {
                    port.fired = true;
                    woken.extend(port.waker.take());
                }
            }
        }
        woken
    }
}

/// The numbers of the bits that are set, lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < WORDS).then_some(bit)
    })
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Closing {
    WithHandle,
    Never,
}

/// One event channel; dropping it closes it, unless Xen made it at the domain's start.
#[derive(Debug)]
pub struct EventChannel {
    channels: EventChannels,
    port: u32,
    closing: Closing,
}

impl EventChannel {
    /// Returns its number in this domain.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Notifies the other end.
    pub fn notify(&self) {
        // It fails only when the other end is gone, of which the device's state tells.
        let _ = event_channel::send(self.port);
    }

    /// Returns whether it was notified since the last time that this or [`Self::wait`] said so.
    pub fn take_event(&self) -> bool {
        self.channels
            .with(|inner| core::mem::take(&mut inner.port(self.port).fired))
    }

    /// Ready when it was notified since the last time that this or [`Self::take_event`] said so;
    /// else `context` is woken then. One task waits at a time; the last to ask is woken.
    pub fn poll_event(&self, context: &Context<'_>) -> Poll<()> {
        self.channels.with(|inner| {
            let port = inner.port(self.port);
            if core::mem::take(&mut port.fired) {
                return Poll::Ready(());
            }
            match &mut port.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }

    /// Waits until it is notified.
    pub async fn wait(&self) {
        poll_fn(|context| self.poll_event(context)).await;
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        self.channels.with(|inner| inner.close(self.port));
        if self.closing == Closing::WithHandle {
            // It fails only for a port that is not open, which this one is.
            let _ = event_channel::close(self.port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hypercall::host, memory::SharedMemory, shared_info::tests::raise};
    use core::{
        pin::pin,
        sync::atomic::{AtomicU32, Ordering},
    };
    use std::{boxed::Box, task::Wake};

    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Channels, and the page as Xen sees it.
    fn channels() -> (EventChannels, SharedMemory) {
        let page = SharedMemory::allocate(1).unwrap();
        let xens = crate::ring::peer::view(&page);
        (EventChannels::new(SharedInfo::new(page.keep())), xens)
    }

    #[test]
    fn an_event_ends_one_wait() {
        let (channels, xen) = channels();
        let channel = channels.adopt(77).unwrap();
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        {
            let mut wait = pin!(channel.wait());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            raise(&xen, 77);
            channels.dispatch();
            channels.dispatch();
            assert_eq!(count.0.load(Ordering::Relaxed), 1);
            assert!(wait.as_mut().poll(&mut context).is_ready());
        }
        assert!(channel.poll_event(&context).is_pending());
    }

    #[test]
    fn an_event_before_the_wait_is_not_lost() {
        let (channels, xen) = channels();
        raise(&xen, 5);
        let channel = channels.adopt(5).unwrap();
        assert!(channel.take_event(), "from before the port was taken");
        raise(&xen, 5);
        raise(&xen, 5);
        channels.dispatch();
        assert!(channel.take_event());
        assert!(!channel.take_event());
    }

    #[test]
    fn ports_are_checked_and_taken_once() {
        let (channels, xen) = channels();
        for bad in [0, 4096, u64::MAX] {
            assert_eq!(
                channels.adopt(bad).unwrap_err(),
                EventError::OutOfRange(bad)
            );
        }
        let channel = channels.adopt(4095).unwrap();
        assert_eq!(channels.adopt(4095).unwrap_err(), EventError::Taken(4095));
        assert_eq!(channels.used(), 1);
        drop(channel);
        assert_eq!(channels.used(), 0);
        raise(&xen, 4095);
        channels.dispatch();
        assert!(channels.adopt(4095).unwrap().take_event());
    }

    #[test]
    fn a_port_of_xens_that_is_out_of_range_is_an_error() {
        let (channels, _xen) = channels();
        assert_eq!(
            channels.allocate(DomainId(0)).unwrap_err(),
            EventError::Xen(XenError::NotImplemented)
        );
        host::install(Box::new(|_, [command, structure, _]| {
            assert_eq!(command, 6);
            // SAFETY: `struct evtchn_alloc_unbound`: the port is at offset 4.
            unsafe { ((structure + 4) as *mut u32).write(70_000) };
            0
        }));
        assert_eq!(
            channels.allocate(DomainId(0)).unwrap_err(),
            EventError::OutOfRange(70_000)
        );
    }
}
