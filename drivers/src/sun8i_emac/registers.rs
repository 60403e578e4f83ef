//! The controller's registers and the bits of its descriptors (Allwinner H3 Datasheet 1.2, 8.10.5 and 8.10.4).

use safe_mmio::fields::ReadPureWrite;

/// The registers that are used.
#[repr(C)]
pub struct Registers {
    /// 0x00: Basic Control 0
    pub(super) basic_control_0: ReadPureWrite<u32>,
    /// 0x04: Basic Control 1
    pub(super) basic_control_1: ReadPureWrite<u32>,
    /// 0x08: Interrupt Status, cleared by ones
    pub(super) interrupt_status: ReadPureWrite<u32>,
    /// 0x0c: Interrupt Enable
    pub(super) interrupt_enable: ReadPureWrite<u32>,
    /// 0x10: Transmit Control 0
    pub(super) transmit_control_0: ReadPureWrite<u32>,
    /// 0x14: Transmit Control 1
    pub(super) transmit_control_1: ReadPureWrite<u32>,
    reserved_18: [u32; 2],
    /// 0x20: Transmit Descriptor List
    pub(super) transmit_list: ReadPureWrite<u32>,
    /// 0x24: Receive Control 0
    pub(super) receive_control_0: ReadPureWrite<u32>,
    /// 0x28: Receive Control 1
    pub(super) receive_control_1: ReadPureWrite<u32>,
    reserved_2c: [u32; 2],
    /// 0x34: Receive Descriptor List
    pub(super) receive_list: ReadPureWrite<u32>,
    /// 0x38: Receive Frame Filter
    pub(super) receive_filter: ReadPureWrite<u32>,
    reserved_3c: [u32; 3],
    /// 0x48: Management Interface Command
    pub(super) mdio_command: ReadPureWrite<u32>,
    /// 0x4c: Management Interface Data
    pub(super) mdio_data: ReadPureWrite<u32>,
    /// 0x50: MAC Address 0, bytes 4 and 5
    pub(super) address_high: ReadPureWrite<u32>,
    /// 0x54: MAC Address 0, bytes 0 to 3
    pub(super) address_low: ReadPureWrite<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Registers, receive_list) == 0x34);
    assert!(offset_of!(Registers, mdio_command) == 0x48);
    assert!(offset_of!(Registers, address_low) == 0x54);
};

/// Basic Control 0.
pub(super) const FULL_DUPLEX: u32 = 1;
pub(super) const SPEED_1000: u32 = 0b00 << 2;
pub(super) const SPEED_10: u32 = 0b10 << 2;
pub(super) const SPEED_100: u32 = 0b11 << 2;

/// Basic Control 1.
pub(super) const SOFT_RESET: u32 = 1;
pub(super) const BURST_OF_8: u32 = 8 << 24;

/// Interrupts.
pub(super) const TRANSMITTED: u32 = 1;
pub(super) const RECEIVED: u32 = 1 << 8;
pub(super) const RECEIVE_HAS_NO_BUFFER: u32 = 1 << 9;

/// Transmit and Receive Control 0.
pub(super) const ENABLE: u32 = 1 << 31;
/// Receive Control 0: a wrong check sequence is told.
pub(super) const CHECK_FRAMES: u32 = 1 << 27;

/// Transmit and Receive Control 1.
pub(super) const STORE_AND_FORWARD: u32 = 1 << 1;
pub(super) const DMA_ENABLE: u32 = 1 << 30;
pub(super) const DMA_START: u32 = 1 << 31;

/// Receive Frame Filter: frames to any group pass, besides those to this host and to all.
pub(super) const ALL_MULTICAST: u32 = 1 << 16;

/// Management Interface Command.
pub(super) const MDIO_BUSY: u32 = 1;
pub(super) const MDIO_WRITE: u32 = 1 << 1;
pub(super) const MDC_DIVIDED_BY_128: u32 = 0b011 << 20;

/// A descriptor's status.
pub(super) const OWNED_BY_DMA: u32 = 1 << 31;
pub(super) const LENGTH_SHIFT: u32 = 16;
pub(super) const LENGTH_MASK: u32 = 0x3fff;
pub(super) const FIRST: u32 = 1 << 9;
pub(super) const LAST: u32 = 1 << 8;
/// Check sequence, PHY, length, late collision, overflow, no buffer.
pub(super) const BROKEN: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 11 | 1 << 14;

/// A descriptor's control, besides the length: the last word is where the next descriptor is (as in Linux'
/// `stmmac/descs.h`, "SECOND_ADDRESS_CHAINED"; the datasheet reserves the bit).
pub(super) const CHAINED: u32 = 1 << 24;
/// The same, to transmit.
pub(super) const SEND_FIRST: u32 = 1 << 29;
pub(super) const SEND_LAST: u32 = 1 << 30;
pub(super) const SEND_INTERRUPT: u32 = 1 << 31;
