//! What of Allwinner's H3 stands around its Ethernet controller: clocks and resets (H3 Datasheet 1.2, 4.3 "CCU"), and
//! which PHY the controller is wired to (4.5 "System Control").

use safe_mmio::{UniqueMmioPointer, field, fields::ReadPureWrite};

/// The Clock Control Unit's registers that are used.
#[repr(C)]
pub struct ClockRegisters {
    reserved_000: [u32; 24],
    /// 0x060: Bus Clock Gating 0
    gates_0: ReadPureWrite<u32>,
    reserved_064: [u32; 3],
    /// 0x070: Bus Clock Gating 4
    gates_4: ReadPureWrite<u32>,
    reserved_074: [u32; 147],
    /// 0x2c0: Bus Software Reset 0
    resets_0: ReadPureWrite<u32>,
    reserved_2c4: u32,
    /// 0x2c8: Bus Software Reset 2
    resets_2: ReadPureWrite<u32>,
}

/// The System Control's registers that are used.
#[repr(C)]
pub struct SystemControlRegisters {
    reserved_00: [u32; 12],
    /// 0x30: EMAC-EPHY Clock
    emac_clock: ReadPureWrite<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(ClockRegisters, gates_0) == 0x60);
    assert!(offset_of!(ClockRegisters, gates_4) == 0x70);
    assert!(offset_of!(ClockRegisters, resets_0) == 0x2c0);
    assert!(offset_of!(ClockRegisters, resets_2) == 0x2c8);
    assert!(offset_of!(SystemControlRegisters, emac_clock) == 0x30);
};

/// In the first gate and the first reset: the controller.
const EMAC: u32 = 1 << 17;
/// In the fifth gate, and in the third reset: the PHY on the chip.
const PHY_GATE: u32 = 1;
const PHY_RESET: u32 = 1 << 2;

/// EMAC-EPHY Clock: the PHY's clock is of 24 MHz; its address; it is off; it is the controller's.
const PHY_24_MHZ: u32 = 1 << 18;
const PHY_ADDRESS_SHIFT: u32 = 20;
const PHY_OFF: u32 = 1 << 16;
const PHY_ON_CHIP: u32 = 1 << 15;
/// The link to another PHY: RGMII, and where its transmit clock comes from.
const RGMII: u32 = 1 << 2;
const TRANSMIT_CLOCK: u32 = 0b11;
const FROM_CONTROLLER_FOR_RGMII: u32 = 0b10;

/// Which PHY a board uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phy {
    /// The one on the chip, for 10 and 100 Mbit/s, at this address.
    OnChip(u8),
    /// Another one, by RGMII.
    Rgmii,
}

/// Gives the Ethernet controller and its PHY their clocks, ends their resets, and connects the two. Delays of the
/// lines of RGMII stay as firmware has set them: they are of the board's wiring.
pub fn enable_ethernet(
    mut clocks: UniqueMmioPointer<'_, ClockRegisters>,
    mut system: UniqueMmioPointer<'_, SystemControlRegisters>,
    phy: Phy,
) {
    let control = field!(system, emac_clock).read();
    let control = match phy {
        Phy::OnChip(address) => {
            modify(field!(clocks, gates_4), |it| it | PHY_GATE);
            modify(field!(clocks, resets_2), |it| it | PHY_RESET);
            let kept = control & !(PHY_OFF | RGMII | TRANSMIT_CLOCK | 0x1f << PHY_ADDRESS_SHIFT);
            kept | PHY_ON_CHIP | PHY_24_MHZ | u32::from(address & 0x1f) << PHY_ADDRESS_SHIFT
        }
        Phy::Rgmii => {
            let kept = control & !(PHY_ON_CHIP | TRANSMIT_CLOCK);
            kept | PHY_OFF | RGMII | FROM_CONTROLLER_FOR_RGMII
        }
    };
    field!(system, emac_clock).write(control);
    modify(field!(clocks, gates_0), |it| it | EMAC);
    modify(field!(clocks, resets_0), |it| it | EMAC);
}

fn modify(
    mut register: UniqueMmioPointer<'_, ReadPureWrite<u32>>,
    change: impl FnOnce(u32) -> u32,
) {
    let value = change(register.read());
    register.write(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(phy: Phy, control: u32) -> (ClockRegisters, u32) {
        let mut clocks = ClockRegisters {
            reserved_000: [0; 24],
            gates_0: ReadPureWrite(1),
            reserved_064: [0; 3],
            gates_4: ReadPureWrite(0),
            reserved_074: [0; 147],
            resets_0: ReadPureWrite(2),
            reserved_2c4: 0,
            resets_2: ReadPureWrite(0),
        };
        let mut system = SystemControlRegisters {
            reserved_00: [0; 12],
            emac_clock: ReadPureWrite(control),
        };
        enable_ethernet(
            UniqueMmioPointer::from(&mut clocks),
            UniqueMmioPointer::from(&mut system),
            phy,
        );
        (clocks, system.emac_clock.0)
    }

    #[test]
    fn the_phy_on_the_chip_gets_its_clock() {
        // As after a reset (4.5.4).
        let (clocks, control) = enabled(Phy::OnChip(1), 0x58000);
        assert_eq!(clocks.gates_0.0, 1 | EMAC);
        assert_eq!(clocks.resets_0.0, 2 | EMAC);
        assert_eq!((clocks.gates_4.0, clocks.resets_2.0), (1, 4));
        assert_eq!(control, 0x14_8000);
    }

    #[test]
    fn a_phy_by_rgmii_keeps_its_delays() {
        let (clocks, control) = enabled(Phy::Rgmii, 0x58000 | 3 << 5 | 1 << 10);
        assert_eq!((clocks.gates_4.0, clocks.resets_2.0), (0, 0));
        assert_eq!(control, 0x5_0000 | 3 << 5 | 1 << 10 | 0b110);
    }
}
