//! The controller's registers (Allwinner A20 User Manual 1.4, "EMAC"; what it leaves out is as in Linux'
//! `sun4i-emac.h` and `mdio-sun4i.c`).

use safe_mmio::fields::{ReadPure, ReadPureWrite, ReadWrite};

/// The registers that are used.
#[repr(C)]
#[cfg_attr(test, derive(Default))]
pub struct Registers {
    /// 0x00: Control
    pub(super) control: ReadPureWrite<u32>,
    /// 0x04: Transmit Mode
    pub(super) transmit_mode: ReadPureWrite<u32>,
    reserved_08: u32,
    /// 0x0c, 0x10: Transmit Control, of each channel
    pub(super) transmit_control: [ReadPureWrite<u32>; 2],
    /// 0x14: Transmit FIFO Select: the channel that is written to
    pub(super) transmit_select: ReadPureWrite<u32>,
    /// 0x18, 0x1c: Transmit Packet Length, of each channel
    pub(super) transmit_length: [ReadPureWrite<u32>; 2],
    reserved_20: u32,
    /// 0x24: Transmit FIFO
    pub(super) transmit_data: ReadWrite<u32>,
    reserved_28: [u32; 5],
    /// 0x3c: Receive Control
    pub(super) receive_control: ReadPureWrite<u32>,
    reserved_40: [u32; 3],
    /// 0x4c: Receive FIFO: each read takes a word out
    pub(super) receive_data: ReadWrite<u32>,
    /// 0x50: Receive FIFO Byte Count: in truth of frames
    pub(super) receive_frames: ReadPureWrite<u32>,
    /// 0x54: Interrupt Control
    pub(super) interrupt_enable: ReadPureWrite<u32>,
    /// 0x58: Interrupt Status, cleared by ones
    pub(super) interrupt_status: ReadPureWrite<u32>,
    /// 0x5c: MAC Control 0
    pub(super) mac_control_0: ReadPureWrite<u32>,
    /// 0x60: MAC Control 1
    pub(super) mac_control_1: ReadPureWrite<u32>,
    /// 0x64: Inter-Packet Gap, back to back
    pub(super) packet_gap: ReadPureWrite<u32>,
    /// 0x68: Inter-Packet Gap, otherwise
    pub(super) packet_gap_other: ReadPureWrite<u32>,
    /// 0x6c: Collision Window and Retransmission
    pub(super) collision: ReadPureWrite<u32>,
    /// 0x70: Maximum Frame Length
    pub(super) longest: ReadPureWrite<u32>,
    /// 0x74: PHY Support
    pub(super) speed: ReadPureWrite<u32>,
    reserved_78: u32,
    /// 0x7c: MII Configuration
    pub(super) mdio_configuration: ReadPureWrite<u32>,
    /// 0x80: MII Command
    pub(super) mdio_command: ReadPureWrite<u32>,
    /// 0x84: MII Address
    pub(super) mdio_address: ReadPureWrite<u32>,
    /// 0x88: MII Write Data
    pub(super) mdio_write: ReadPureWrite<u32>,
    /// 0x8c: MII Read Data
    pub(super) mdio_read: ReadPure<u32>,
    /// 0x90: MII Indicators
    pub(super) mdio_state: ReadPure<u32>,
    reserved_94: u32,
    /// 0x98: MAC Address 0: bytes 3 to 5
    pub(super) address_low: ReadPureWrite<u32>,
    /// 0x9c: MAC Address 1: bytes 0 to 2
    pub(super) address_high: ReadPureWrite<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Registers, transmit_data) == 0x24);
    assert!(offset_of!(Registers, receive_control) == 0x3c);
    assert!(offset_of!(Registers, receive_data) == 0x4c);
    assert!(offset_of!(Registers, interrupt_status) == 0x58);
    assert!(offset_of!(Registers, mdio_configuration) == 0x7c);
    assert!(offset_of!(Registers, mdio_state) == 0x90);
    assert!(offset_of!(Registers, address_high) == 0x9c);
};

/// Control: out of reset; it sends; it receives.
pub(super) const RUN: u32 = 1;
pub(super) const TRANSMIT: u32 = 1 << 1;
pub(super) const RECEIVE: u32 = 1 << 2;

/// Transmit Mode: a frame that was given up is done.
pub(super) const ABORTED_IS_DONE: u32 = 1;

/// Transmit Control.
pub(super) const START: u32 = 1;

/// Receive Control: empties the FIFO, and is cleared when that is done; frames pass whose type is no length; those to
/// this host, by their address; those to groups; those to all.
pub(super) const FLUSH: u32 = 1 << 3;
pub(super) const PASS_TYPES: u32 = 1 << 8;
pub(super) const ACCEPT_UNICAST: u32 = 1 << 16;
pub(super) const FILTER: u32 = 1 << 17;
pub(super) const ACCEPT_MULTICAST: u32 = 1 << 20;
pub(super) const ACCEPT_BROADCAST: u32 = 1 << 22;

/// Interrupts: of both channels, that a frame was sent, and that one was given up; that one was received.
pub(super) const SENT: u32 = 0b0011;
pub(super) const GIVEN_UP: u32 = 0b1100;
pub(super) const GIVEN_UP_SHIFT: u32 = 2;
pub(super) const RECEIVED: u32 = 1 << 8;

/// MAC Control 0: pause frames are obeyed, and sent; a reset of the MAC.
pub(super) const FLOW_CONTROL: u32 = 0b11 << 2;
pub(super) const MAC_RESET: u32 = 1 << 15;
/// MAC Control 1: lengths are checked; a check sequence and padding are added.
pub(super) const FULL_DUPLEX: u32 = 1;
pub(super) const CHECK_LENGTH: u32 = 1 << 1;
pub(super) const ADD_CHECK_SEQUENCE: u32 = 1 << 4;
pub(super) const PAD: u32 = 1 << 5;

/// The gaps and the window of IEEE 802.3 for 10 and 100 Mbit/s: clause 4.4.2, in the controller's units.
pub(super) const GAP: u32 = 0x15;
pub(super) const GAP_OTHER: u32 = 0x0c << 8 | 0x12;
pub(super) const COLLISION: u32 = 0x37 << 8 | 0x0f;

/// PHY Support.
pub(super) const SPEED_100: u32 = 1 << 8;

/// MII Configuration: the bus' clock is the controller's, divided by 72.
pub(super) const MDC_MASK: u32 = 0xff << 2;
pub(super) const MDC_DIVIDED_BY_72: u32 = 0x0d << 2;
/// MII Command and Indicators.
pub(super) const MDIO_START: u32 = 1;
pub(super) const MDIO_BUSY: u32 = 1;

/// What each frame in the receive FIFO begins with.
pub(super) const MARK: u32 = 0x0143_414d;
/// In the word behind it, above the length with the check sequence: the frame is sound.
pub(super) const SOUND: u32 = 1 << (16 + 7);
