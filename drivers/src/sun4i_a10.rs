//! What of Allwinner's A10 and A20 stands around their Ethernet controller EMAC: its clock (A20 User Manual 1.4,
//! "CCU") and the memory of its FIFOs (there, "System Control"; the bits of SRAM Control 1 as in Linux' `sunxi_sram.c`).

use safe_mmio::{UniqueMmioPointer, field, fields::ReadPureWrite};

/// The Clock Control Unit's registers that are used.
#[repr(C)]
pub struct ClockRegisters {
    reserved_00: [u32; 24],
    /// 0x60: AHB Module Clock Gating 0
    gates: ReadPureWrite<u32>,
}

/// The System Control's registers that are used.
#[repr(C)]
pub struct SystemControlRegisters {
    reserved_00: u32,
    /// 0x04: SRAM Control 1
    sram: ReadPureWrite<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(ClockRegisters, gates) == 0x60);
    assert!(offset_of!(SystemControlRegisters, sram) == 0x04);
};

/// In the gates: EMAC.
const EMAC: u32 = 1 << 17;
/// SRAM Control 1: whose the blocks A3 and A4 are. The CPU's, or EMAC's.
const A3_A4: u32 = 0b11 << 4;
const A3_A4_EMAC: u32 = 0b01 << 4;

/// Gives the Ethernet controller its clock and its memory. Its pins, and the supply of its PHY, are as U-Boot sets them.
pub fn enable_ethernet(
    mut clocks: UniqueMmioPointer<'_, ClockRegisters>,
    mut system: UniqueMmioPointer<'_, SystemControlRegisters>,
) {
    let mut gates = field!(clocks, gates);
    let open = gates.read();
    gates.write(open | EMAC);
    let mut sram = field!(system, sram);
    let others = sram.read() & !A3_A4;
    sram.write(others | A3_A4_EMAC);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_gets_its_clock_and_memory_and_others_keep_theirs() {
        let mut clocks = ClockRegisters {
            reserved_00: [0; 24],
            gates: ReadPureWrite(1),
        };
        let mut system = SystemControlRegisters {
            reserved_00: 0,
            sram: ReadPureWrite(1 << 31 | A3_A4 | 1),
        };
        enable_ethernet(
            UniqueMmioPointer::from(&mut clocks),
            UniqueMmioPointer::from(&mut system),
        );
        assert_eq!(clocks.gates.0, 1 | 1 << 17);
        assert_eq!(system.sram.0, 1 << 31 | 1 << 4 | 1);
    }
}
