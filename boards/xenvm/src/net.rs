//! The network cards: one netfront for each `vif` of the domain's configuration.

use crate::xen::Xen;
use alloc::{boxed::Box, format, vec::Vec};
use embassy_time::{Duration, Timer};
use landfall::{BoardTask, Card, NetworkDevice};
use landfall_arch::boot_log;
use xen_arm::{
    netfront::{Monitor, Netfront},
    xenbus,
};

/// How long xenstore may take to tell of the cards.
const PATIENCE_US: u64 = 10_000_000;
/// How long a backend may take until the console says what may be wrong with it.
const QUIET: Duration = Duration::from_secs(10);
/// The pause between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Bytes of memory for which there may be one long frame of TCP on its way out, and how many such
/// frames pay.
const MEMORY_PER_LONG_FRAME: u64 = 4 << 20;
const LONG_FRAMES: u64 = 8;

/// Finds the cards; returns them, and the tasks that keep them connected. The domain has `memory`
/// bytes.
pub(crate) fn init(xen: &Xen, memory: u64) -> (NetworkDevice, Vec<BoardTask>) {
    boot_log!("looking for network cards in xenstore");
    let cards = xen.block_on(PATIENCE_US, find(xen)).unwrap_or_else(|| {
        boot_log!("xenstore does not answer; is xenstored running in dom0?");
        Vec::new()
    });
    if cards.is_empty() {
        boot_log!(
            "no network card: give the domain one with vif=['bridge=xenbr0'] in its configuration"
        );
        return (NetworkDevice::None, Vec::new());
    }
    let long_frames = (memory / MEMORY_PER_LONG_FRAME).min(LONG_FRAMES) as usize;
    let mut tasks: Vec<BoardTask> = Vec::new();
    let mut wrapped = Vec::new();
    for card in cards {
        boot_log!(
            "network card: {card}, packets of up to {} bytes",
            card.mtu()
        );
        let connection = card.connection(&xen.channels, &xen.grants, long_frames);
        let name = format!("{card}");
        tasks.push(Box::pin(complain(name, connection.monitor())));
        tasks.push(Box::pin(async move {
            connection.run(async || Timer::after(PAUSE).await).await
        }));
        wrapped.push(Card::new(card));
    }
    (NetworkDevice::Cards(wrapped), tasks)
}

async fn find(xen: &Xen) -> Vec<Netfront> {
    let numbers = xenbus::devices(&xen.store, "vif")
        .await
        .unwrap_or_else(|error| {
            boot_log!("{error}");
            Vec::new()
        });
    let mut cards = Vec::new();
    for number in numbers {
        match Netfront::new(&xen.store, number).await {
            Ok(card) => cards.push(card),
            Err(error) => boot_log!("vif {number} cannot be used: {error}"),
        }
    }
    cards
}

/// Says, now and then, why a card does not work and what to check.
async fn complain(name: alloc::string::String, card: Monitor) {
    let mut quiet = QUIET;
    loop {
        Timer::after(quiet).await;
        if card.is_connected() {
            // Ever longer while all is well; the link's state is the stack's to tell.
            quiet = Duration::from_secs(3600);
            continue;
        }
        landfall_log::warn!(
            target: "net",
            "{name}: {}; check in dom0 that the bridge of vif=['bridge=…'] exists, that \
             xen-netback is loaded, and what /var/log/xen/xen-hotplug.log says",
            card.status()
        );
        quiet = Duration::from_secs(30);
    }
}
