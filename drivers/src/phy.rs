//! Ethernet PHYs by their standard registers (IEEE 802.3, clause 22 and 40): who is there, and what the link can do.

use crate::interrupt::Interrupt;
use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    task::Context,
};

/// What a controller with a PHY tells and is told from outside of its driver: its interrupt and a look at the link now
/// and then, which wake the network task, and how many frames were dropped.
pub struct Events {
    interrupt: Interrupt,
    look_at_link: AtomicBool,
    has_link: AtomicBool,
    dropped: AtomicU32,
}

impl Events {
    /// Makes one that wakes nobody yet.
    pub const fn new() -> Self {
        Self {
            interrupt: Interrupt::new(),
            look_at_link: AtomicBool::new(true),
            has_link: AtomicBool::new(false),
            dropped: AtomicU32::new(0),
        }
    }

    /// Called at the controller's interrupt.
    pub fn interrupt(&self) {
        self.interrupt.signal();
    }

    /// Has the driver ask the PHY about the link. Nothing else tells that it changed.
    pub fn look_at_link(&self) {
        self.look_at_link.store(true, Ordering::Relaxed);
        self.interrupt.signal();
    }

    /// Returns whether there was a link when the driver looked at it the last time.
    pub fn has_link(&self) -> bool {
        self.has_link.load(Ordering::Relaxed)
    }

    /// Returns how many received frames were dropped because they were broken; after 2^32 it begins anew.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Has the task be woken at the next event.
    pub(crate) fn listen(&self, context: &Context<'_>) {
        self.interrupt.listen(context);
    }

    /// Returns whether the driver is to look at the link, once.
    pub(crate) fn take_look_at_link(&self) -> bool {
        self.look_at_link.swap(false, Ordering::Relaxed)
    }

    /// Tells whether there is a link.
    pub(crate) fn set_link(&self, has_link: bool) {
        self.has_link.store(has_link, Ordering::Relaxed);
    }

    /// Counts a frame that was dropped.
    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

/// A PHY's registers, by way of its controller's MDIO.
pub(crate) trait Mdio {
    /// Reads a register (0 to 31) of the PHY at an address (0 to 31); `None` where the bus does not answer.
    fn read(&mut self, phy: u8, register: u8) -> Option<u16>;
    /// Writes one.
    fn write(&mut self, phy: u8, register: u8, value: u16);
}

/// How fast a link is, in Mbit/s, and whether both sides may send at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// 10, 100 or 1000.
    pub speed_mbps: u16,
    /// Full duplex.
    pub full_duplex: bool,
}

/// Registers.
const CONTROL: u8 = 0;
const STATUS: u8 = 1;
const IDENTIFIER: u8 = 2;
const IDENTIFIER_2: u8 = 3;
const ADVERTISED: u8 = 4;
const PARTNER: u8 = 5;
const GIGABIT_CONTROL: u8 = 9;
const GIGABIT_STATUS: u8 = 10;

/// Control: switched off; electrically off the wire; find out about the partner, now.
const POWER_DOWN: u16 = 1 << 11;
const ISOLATE: u16 = 1 << 10;
const NEGOTIATE: u16 = 1 << 12;
const RESTART: u16 = 1 << 9;
/// Status: the link is up; the partner is known.
const LINK: u16 = 1 << 2;
const NEGOTIATED: u16 = 1 << 5;

/// Finds the first PHY that answers.
pub(crate) fn find(mdio: &mut impl Mdio) -> Option<u8> {
    // The first half of the identifier may be 0, as RTL8201CP's is.
    (0..32).find(|&phy| match mdio.read(phy, IDENTIFIER) {
        Some(0) => matches!(mdio.read(phy, IDENTIFIER_2), Some(1..=0xfffe)),
        first => matches!(first, Some(1..=0xfffe)),
    })
}

/// Lets the PHY find out what its partner can do.
pub(crate) fn start(mdio: &mut impl Mdio, phy: u8) {
    let control = mdio.read(phy, CONTROL).unwrap_or(0) & !(POWER_DOWN | ISOLATE);
    mdio.write(phy, CONTROL, control | NEGOTIATE | RESTART);
}

/// Returns what the link is; `None` while there is none.
pub(crate) fn link(mdio: &mut impl Mdio, phy: u8) -> Option<Link> {
    // A link that was down meanwhile is remembered until the register was read.
    mdio.read(phy, STATUS)?;
    let status = mdio.read(phy, STATUS)?;
    if status & LINK == 0 {
        return None;
    }
    if status & NEGOTIATED == 0 {
        // It has a link, and a partner that does not negotiate.
        return Some(Link {
            speed_mbps: 100,
            full_duplex: false,
        });
    }
    // Of a PHY without them, these registers read as 0 or all ones, of which no pair has only these bits.
    let gigabit = mdio.read(phy, GIGABIT_CONTROL)? >> 8 & mdio.read(phy, GIGABIT_STATUS)? >> 10;
    let common = mdio.read(phy, ADVERTISED)? & mdio.read(phy, PARTNER)?;
    let (speed_mbps, full_duplex) = match (gigabit & 0b11, common >> 5 & 0b1111) {
        (0b10, _) => (1000, true),
        (0b01, _) => (1000, false),
        (_, 0b1000..) => (100, true),
        (_, 0b0100..) => (100, false),
        (_, 0b0010..) => (10, true),
        _ => (10, false),
    };
    Some(Link {
        speed_mbps,
        full_duplex,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PHY at address 7 with these registers.
    struct Bus([u16; 32]);

    impl Mdio for Bus {
        fn read(&mut self, phy: u8, register: u8) -> Option<u16> {
            Some(if phy == 7 {
                self.0[usize::from(register)]
            } else {
                0xffff
            })
        }

        fn write(&mut self, phy: u8, register: u8, value: u16) {
            if phy == 7 {
                self.0[usize::from(register)] = value;
            }
        }
    }

    fn bus(status: u16, advertised: u16, partner: u16) -> Bus {
        let mut registers = [0; 32];
        registers[usize::from(STATUS)] = status;
        registers[usize::from(IDENTIFIER)] = 0x1c;
        registers[usize::from(ADVERTISED)] = advertised;
        registers[usize::from(PARTNER)] = partner;
        Bus(registers)
    }

    #[test]
    fn the_phy_that_answers_is_found() {
        assert_eq!(find(&mut bus(0, 0, 0)), Some(7));
        let mut nobody = bus(0, 0, 0);
        nobody.0[usize::from(IDENTIFIER)] = 0xffff;
        assert_eq!(find(&mut nobody), None);
        // As of an RTL8201CP.
        let mut realtek = bus(0, 0, 0);
        realtek.0[usize::from(IDENTIFIER)] = 0;
        assert_eq!(find(&mut realtek), None);
        realtek.0[usize::from(IDENTIFIER_2)] = 0x8201;
        assert_eq!(find(&mut realtek), Some(7));
    }

    #[test]
    fn the_best_that_both_can_do_is_the_link() {
        let link_of = |bus: &mut Bus| link(bus, 7).map(|it| (it.speed_mbps, it.full_duplex));
        let up = LINK | NEGOTIATED;
        assert_eq!(link_of(&mut bus(0, 0x01e1, 0x01e1)), None);
        assert_eq!(link_of(&mut bus(LINK, 0x01e1, 0x01e1)), Some((100, false)));
        assert_eq!(link_of(&mut bus(up, 0x01e1, 0x01e1)), Some((100, true)));
        assert_eq!(link_of(&mut bus(up, 0x01e1, 0x0081)), Some((100, false)));
        assert_eq!(link_of(&mut bus(up, 0x0061, 0x01e1)), Some((10, true)));
        assert_eq!(link_of(&mut bus(up, 0x0021, 0x01e1)), Some((10, false)));
        let mut gigabit = bus(up, 0x01e1, 0x01e1);
        gigabit.0[usize::from(GIGABIT_CONTROL)] = 1 << 9;
        gigabit.0[usize::from(GIGABIT_STATUS)] = 1 << 11;
        assert_eq!(link_of(&mut gigabit), Some((1000, true)));
    }

    #[test]
    fn a_phy_that_sleeps_is_woken() {
        let mut bus = bus(0, 0, 0);
        bus.0[0] = POWER_DOWN | ISOLATE | 0x0100;
        start(&mut bus, 7);
        assert_eq!(bus.0[0], 0x0100 | NEGOTIATE | RESTART);
    }
}
