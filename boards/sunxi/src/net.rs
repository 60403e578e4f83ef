//! The network card: the chip's own Ethernet controller.

mod emac;

use crate::gpio::Gpio;
use crate::machine::{Ethernet, EthernetKind, Machine};
use alloc::{boxed::Box, vec, vec::Vec};
use core::ptr::NonNull;
use emac::Emac;
use embassy_time::{Duration, Timer};
use landfall::{BoardTask, Card, NetworkDevice};
use landfall_arch::{boot_log, cache};
use landfall_bare_metal::{irq, timer};
use landfall_device_tree::Registers;
use landfall_drivers::{
    dma::DataCache,
    phy::Events,
    sun4i_a10,
    sun4i_emac::Sun4iEmac,
    sun8i_emac::{EmacError, Sun8iEmac},
    sun8i_h3::{self, Phy},
};
use safe_mmio::UniqueMmioPointer;

/// How often the PHY is asked about the link: its interrupt is not wired to the chip.
const LOOK_AT_LINK: Duration = Duration::from_secs(1);

/// Where the PHY on the chip is put on the MDIO bus.
const PHY_ADDRESS: u8 = 1;

static EVENTS: Events = Events::new();

/// Sets up the network card; returns it, and the task that looks at its link.
pub(crate) fn init(machine: &Machine, gpio: &Gpio) -> (NetworkDevice, Vec<BoardTask>) {
    match card(machine, gpio) {
        Some(card) => (
            NetworkDevice::Cards(vec![card]),
            vec![Box::pin(watch_link())],
        ),
        None => (NetworkDevice::None, Vec::new()),
    }
}

fn card(machine: &Machine, gpio: &Gpio) -> Option<Card> {
    let Some(ethernet) = &machine.devices.ethernet else {
        boot_log!("the device tree has no Ethernet controller that is known here: no network");
        return None;
    };
    boot_log!("setting up the Ethernet controller");
    let Some(interrupt) = ethernet.interrupt else {
        boot_log!("the Ethernet controller has no interrupt in the device tree; not used");
        return None;
    };
    enable(machine, ethernet, gpio)?;
    let mac = ethernet.mac.unwrap_or_else(made_up);
    let card = controller(ethernet, mac);
    let card = card.map_err(|error| boot_log!("{error}; not used")).ok()?;
    irq::connect(interrupt, || EVENTS.interrupt())
        .map_err(|error| boot_log!("the Ethernet controller: {error}; not used"))
        .ok()?;
    let [a, b, c, d, e, f] = mac;
    boot_log!(
        "Ethernet {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, PHY {}",
        card.phy()
    );
    Some(Card::new(card))
}

fn controller(ethernet: &Ethernet, mac: [u8; 6]) -> Result<Emac, EmacError> {
    // SAFETY (of both kinds): The device tree says that such a controller's registers are here; `memory` mapped them, and
    // nothing else on this board has their address.
    match ethernet.kind {
        EthernetKind::Sun4i { .. } => {
            let registers = pointer(&ethernet.registers).ok_or(EmacError::Reset)?;
            // SAFETY: As above.
            let registers = unsafe { UniqueMmioPointer::new(registers) };
            Sun4iEmac::new(registers, mac, &EVENTS).map(Emac::Sun4i)
        }
        EthernetKind::Sun8i { .. } => {
            let registers = pointer(&ethernet.registers).ok_or(EmacError::Reset)?;
            let cache = DataCache {
                clean: cache::clean,
                discard: cache::discard,
            };
            // SAFETY: As above.
            let registers = unsafe { UniqueMmioPointer::new(registers) };
            Sun8iEmac::new(registers, mac, &EVENTS, cache).map(Emac::Sun8i)
        }
    }
}

/// Gives the controller its clocks, and what else its kind needs.
fn enable(machine: &Machine, ethernet: &Ethernet, gpio: &Gpio) -> Option<()> {
    let devices = &machine.devices;
    let (Some(clocks), Some(system)) = (&devices.clocks, &devices.system_control) else {
        boot_log!("the device tree has no clocks for the Ethernet controller; not used");
        return None;
    };
    // SAFETY (of both kinds): The device tree says that such registers are here; `memory` mapped them, and nothing else
    // on this board has their addresses.
    match ethernet.kind {
        EthernetKind::Sun4i { takes_pins } => {
            if takes_pins {
                boot_log!("taking the pins of GMAC, by which the PHY is wired, for EMAC");
                gpio.connect_emac();
            }
            let (clocks, system) = (pointer(clocks)?, pointer(system)?);
            // SAFETY: As above.
            let clocks = unsafe { UniqueMmioPointer::new(clocks) };
            // SAFETY: As above.
            let system = unsafe { UniqueMmioPointer::new(system) };
            sun4i_a10::enable_ethernet(clocks, system);
        }
        EthernetKind::Sun8i { is_phy_on_chip } => {
            let phy = match is_phy_on_chip {
                true => Phy::OnChip(PHY_ADDRESS),
                false => Phy::Rgmii,
            };
            let (clocks, system) = (pointer(clocks)?, pointer(system)?);
            // SAFETY: As above.
            let clocks = unsafe { UniqueMmioPointer::new(clocks) };
            // SAFETY: As above.
            let system = unsafe { UniqueMmioPointer::new(system) };
            sun8i_h3::enable_ethernet(clocks, system, phy);
        }
    }
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

/// Has the driver look at the link; says so once where there is none for long, and how many frames were broken each time
/// their number has doubled.
async fn watch_link() {
    /// How many looks a PHY may take to find its partner.
    const PATIENCE: u32 = 5;
    let (mut looks, mut had_link, mut told) = (0, false, 0);
    loop {
        EVENTS.look_at_link();
        Timer::after(LOOK_AT_LINK).await;
        looks = PATIENCE.min(looks) + 1;
        had_link |= EVENTS.has_link();
        if looks == PATIENCE && !had_link {
            boot_log!("Ethernet has no link: is the cable plugged in?");
        }
        let dropped = EVENTS.dropped();
        if dropped / 2 >= told && dropped > told {
            boot_log!("Ethernet: {dropped} broken frames were dropped so far");
            told = dropped;
        }
    }
}
