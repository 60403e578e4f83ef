//! The network card: the chip's own Ethernet controller.

use crate::machine::{Ethernet, Machine};
use alloc::{boxed::Box, vec, vec::Vec};
use core::ptr::NonNull;
use embassy_time::{Duration, Timer};
use landfall::{BoardTask, Card, NetworkDevice};
use landfall_arch::{boot_log, cache, timer};
use landfall_bare_metal::irq;
use landfall_device_tree::Registers;
use landfall_drivers::{
    dma::DataCache,
    sun8i_emac::{Events, Sun8iEmac},
    sun8i_h3::{self, Phy},
};
use safe_mmio::UniqueMmioPointer;

/// How often the PHY is asked about the link: its interrupt is not wired to the chip.
const LOOK_AT_LINK: Duration = Duration::from_secs(1);

/// Where the PHY on the chip is put on the MDIO bus.
const PHY_ADDRESS: u8 = 1;

static EVENTS: Events = Events::new();

/// Sets up the network card; returns it, and the task that looks at its link.
pub(crate) fn init(machine: &Machine) -> (NetworkDevice, Vec<BoardTask>) {
    match card(machine) {
        Some(card) => (
            NetworkDevice::Cards(vec![Card::new(card)]),
            vec![Box::pin(watch_link())],
        ),
        None => (NetworkDevice::None, Vec::new()),
    }
}

fn card(machine: &Machine) -> Option<Sun8iEmac> {
    let Some(ethernet) = &machine.devices.ethernet else {
        boot_log!("the device tree has no Ethernet controller that is known here");
        return None;
    };
    boot_log!("setting up the Ethernet controller");
    let Some(interrupt) = ethernet.interrupt else {
        boot_log!("the Ethernet controller has no interrupt in the device tree; not used");
        return None;
    };
    enable(machine, ethernet)?;
    let registers = pointer(&ethernet.registers)?;
    let mac = ethernet.mac.unwrap_or_else(made_up);
    let cache = DataCache {
        clean: cache::clean,
        discard: cache::discard,
    };
    // SAFETY: The device tree says that such a controller's registers are here; `memory` mapped them, and nothing else
    // on this board has their address.
    let card = Sun8iEmac::new(
        unsafe { UniqueMmioPointer::new(registers) },
        mac,
        &EVENTS,
        cache,
    );
    let card = card.map_err(|error| boot_log!("{error}; not used")).ok()?;
    irq::connect(interrupt, || EVENTS.interrupt())
        .map_err(|error| boot_log!("the Ethernet controller: {error}; not used"))
        .ok()?;
    let [a, b, c, d, e, f] = mac;
    boot_log!(
        "Ethernet {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, PHY {}",
        card.phy()
    );
    Some(card)
}

/// Gives the controller its clocks.
fn enable(machine: &Machine, ethernet: &Ethernet) -> Option<()> {
    let devices = &machine.devices;
    let (Some(clocks), Some(system)) = (&devices.clocks, &devices.system_control) else {
        boot_log!("the device tree has no clocks for the Ethernet controller; not used");
        return None;
    };
    let phy = match ethernet.is_phy_on_chip {
        true => Phy::OnChip(PHY_ADDRESS),
        false => Phy::Rgmii,
    };
    let (clocks, system) = (pointer(clocks)?, pointer(system)?);
    // SAFETY: The device tree says that such registers are here; `memory` mapped them, and nothing else on this board
    // has their addresses.
    let (clocks, system) = unsafe {
        (
            UniqueMmioPointer::new(clocks),
            UniqueMmioPointer::new(system),
        )
    };
    sun8i_h3::enable_ethernet(clocks, system, phy);
    Some(())
}

fn pointer<T>(registers: &Registers) -> Option<NonNull<T>> {
    NonNull::new(registers.start as *mut T)
}

/// A hardware address where U-Boot has passed none on: locally administered, of one station, another at each boot.
fn made_up() -> [u8; 6] {
    boot_log!("the device tree has no hardware address; making one up for this boot");
    // Any spread of the bits will do (Fibonacci hashing).
    let [a, b, c, d, e, ..] = timer::count()
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .to_be_bytes();
    [0x02, a, b, c, d, e]
}

async fn watch_link() {
    loop {
        EVENTS.look_at_link();
        Timer::after(LOOK_AT_LINK).await;
    }
}
