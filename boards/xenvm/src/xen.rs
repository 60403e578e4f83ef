//! What this domain shares with Xen: event channels, grant table, xenstore. No other board has it.

use crate::{console, machine};
use alloc::{boxed::Box, sync::Arc, task::Wake};
use core::{
    cell::RefCell,
    fmt,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};
use critical_section::Mutex;
use futures_util::future::{Either, select};
use landfall::BoardTask;
use landfall_arch::{
    boot_log, mmu,
    translation::{MapError, Memory},
};
use landfall_bare_metal::{irq, time};
use landfall_drivers::gic::GicError;
use xen_arm::{
    Frame, XenError,
    events::EventChannels,
    grants::{GrantError, GrantTable},
    hypercall::{self, Parameter},
    shared_info::SharedInfo,
    xenstore::{NoStore, Xenstore},
};

/// The handles of all of it, for drivers, and for apps that are guests of Xen only.
#[derive(Clone, Debug)]
pub struct Xen {
    /// Events from and to other domains.
    pub channels: EventChannels,
    /// Pages that are shared with other domains.
    pub grants: GrantTable,
    /// What domains tell each other.
    pub store: Xenstore,
}

/// Why this domain cannot work with Xen.
#[derive(Debug)]
pub(crate) enum Error {
    SharedInfo(XenError),
    Map(MapError),
    Interrupt(GicError),
    Grants(GrantError),
    Store(NoStore),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedInfo(error) => write!(f, "the shared info page: {error}"),
            Self::Map(error) => write!(f, "cannot map Xen's pages: {error}"),
            Self::Interrupt(error) => write!(f, "Xen's interrupt: {error}"),
            Self::Grants(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

/// All event channels, for the interrupt.
static CHANNELS: Mutex<RefCell<Option<EventChannels>>> = Mutex::new(RefCell::new(None));

/// The grant table, for the metrics page.
static GRANTS: Mutex<RefCell<Option<GrantTable>>> = Mutex::new(RefCell::new(None));

/// Sets everything up, by what the device tree's `node` says.
pub(crate) fn init(node: machine::Xen, map: &mut mmu::Map) -> Result<Xen, Error> {
    announce();
    let machine::Xen {
        grants,
        events: interrupt,
    } = node;
    boot_log!("setting up event channels");
    let channels = EventChannels::new(SharedInfo::map().map_err(Error::SharedInfo)?);
    critical_section::with(|cs| CHANNELS.borrow_ref_mut(cs).replace(channels.clone()));
    irq::connect(interrupt, dispatch).map_err(Error::Interrupt)?;
    console::connect_events(&channels);
    boot_log!("setting up the grant table at {:#x}", grants.start);
    map.add(grants.clone(), Memory::Data).map_err(Error::Map)?;
    // SAFETY: 1. The device tree sets the region aside for this; it was mapped now, which fails for
    // what is mapped already.
    let grants = unsafe { GrantTable::new(grants) }.map_err(Error::Grants)?;
    critical_section::with(|cs| GRANTS.borrow_ref_mut(cs).replace(grants.clone()));
    boot_log!("connecting to xenstore");
    let frame = hypercall::parameter(Parameter::StoreFrame).unwrap_or(0);
    let page = Frame(frame).address()..Frame(frame.saturating_add(1)).address();
    map.add(page, Memory::Data).map_err(Error::Map)?;
    // SAFETY: 1. It was mapped now.
    let store = unsafe { Xenstore::open(&channels) }.map_err(Error::Store)?;
    Ok(Xen {
        channels,
        grants,
        store,
    })
}

/// Says which Xen this is.
fn announce() {
    match hypercall::version() {
        Ok(version) => {
            let mut buffer = [0; 16];
            let extra = hypercall::extra_version(&mut buffer).unwrap_or("");
            boot_log!("guest of Xen {version}{extra}");
        }
        Err(error) => boot_log!("asking Xen for its version: {error}"),
    }
}

/// Called at Xen's interrupt.
fn dispatch() {
    let channels = critical_section::with(|cs| CHANNELS.borrow_ref(cs).clone());
    if let Some(channels) = channels {
        channels.dispatch();
    }
    console::pump();
}

/// Says how many there are of what Xen has but so many of.
pub(crate) fn gauges(gauge: &mut dyn FnMut(&str, &str, u64)) {
    if let Some(grants) = critical_section::with(|cs| GRANTS.borrow_ref(cs).clone()) {
        let usage = grants.usage();
        gauge(
            "landfall_grants_used",
            "Grant references in use, those among them that the other domain has yet to let go of.",
            u64::from(usage.granted) + u64::from(usage.lingering),
        );
    }
    if let Some(channels) = critical_section::with(|cs| CHANNELS.borrow_ref(cs).clone()) {
        gauge(
            "landfall_event_channels_used",
            "Event channels in use.",
            channels.used() as u64,
        );
    }
}

impl Xen {
    /// Returns the task that moves xenstore's messages.
    pub(crate) fn store_task(&self) -> BoardTask {
        let store = self.store.clone();
        Box::pin(async move { store.run().await })
    }

    /// Runs `future`, and xenstore beside it, before there is an executor; `None` when it takes
    /// longer than `patience_us`.
    pub(crate) fn block_on<T>(
        &self,
        patience_us: u64,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let deadline = time::now_us() + patience_us;
        let (future, messages) = (pin!(future), pin!(self.store.run()));
        let mut both = pin!(select(future, messages));
        while time::now_us() < deadline {
            if woken.0.swap(false, Ordering::AcqRel)
                && let Poll::Ready(Either::Left((value, _))) = both.as_mut().poll(&mut context)
            {
                return Some(value);
            }
            if !woken.0.load(Ordering::Acquire) {
                time::set_deadline(Some(deadline));
                landfall_arch::wait_for_interrupt();
            }
            irq::dispatch();
        }
        None
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
