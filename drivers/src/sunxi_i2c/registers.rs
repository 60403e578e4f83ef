//! The controller's registers (A20 User Manual 1.4 and H3 Datasheet 1.2, "TWI", register list).

use safe_mmio::{UniqueMmioPointer, field, field_shared, fields::ReadPureWrite};

/// The registers that are used.
#[repr(C)]
pub struct Registers {
    reserved_00: [u32; 2],
    /// 0x08: Data Byte
    data: ReadPureWrite<u32>,
    /// 0x0c: Control
    control: ReadPureWrite<u32>,
    /// 0x10: Status
    status: ReadPureWrite<u32>,
    /// 0x14: Clock Control
    clock: ReadPureWrite<u32>,
    /// 0x18: Software Reset
    soft_reset: ReadPureWrite<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Registers, data) == 0x08);
    assert!(offset_of!(Registers, soft_reset) == 0x18);
};

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Register {
    /// What is sent, or was received.
    Data,
    /// What is done next.
    Control,
    /// How it went.
    Status,
    /// The bus' speed.
    Clock,
    /// A one, until the reset is over.
    SoftReset,
}

/// The registers of a controller, or of a model of one.
pub trait TwiRegisters {
    /// Reads a register.
    fn read(&mut self, register: Register) -> u32;
    /// Writes a register.
    fn write(&mut self, register: Register, value: u32);
}

impl TwiRegisters for UniqueMmioPointer<'_, Registers> {
    fn read(&mut self, register: Register) -> u32 {
        match register {
            Register::Data => field_shared!(*self, data).read(),
            Register::Control => field_shared!(*self, control).read(),
            Register::Status => field_shared!(*self, status).read(),
            Register::Clock => field_shared!(*self, clock).read(),
            Register::SoftReset => field_shared!(*self, soft_reset).read(),
        }
    }

    fn write(&mut self, register: Register, value: u32) {
        match register {
            Register::Data => field!(*self, data).write(value),
            Register::Control => field!(*self, control).write(value),
            Register::Status => field!(*self, status).write(value),
            Register::Clock => field!(*self, clock).write(value),
            Register::SoftReset => field!(*self, soft_reset).write(value),
        }
    }
}

/// Clock Control: M and N.
pub(super) const CLOCK_MASK: u32 = 0x7f;

/// Control.
pub(super) mod control {
    /// The byte that comes is acknowledged.
    pub(crate) const ACKNOWLEDGE: u32 = 1 << 2;
    /// The step is done.
    pub(crate) const INTERRUPT_FLAG: u32 = 1 << 3;
    /// Send STOP, START; each falls by itself, and a zero that is written changes nothing.
    pub(crate) const STOP: u32 = 1 << 4;
    pub(crate) const START: u32 = 1 << 5;
    /// The controller takes part in the bus.
    pub(crate) const BUS_ENABLE: u32 = 1 << 6;
}

/// Status.
pub(super) mod status {
    pub(crate) const BUS_ERROR: u8 = 0x00;
    pub(crate) const START_SENT: u8 = 0x08;
    pub(crate) const START_SENT_AGAIN: u8 = 0x10;
    pub(crate) const ADDRESS_WRITE_ACKNOWLEDGED: u8 = 0x18;
    pub(crate) const ADDRESS_WRITE_REFUSED: u8 = 0x20;
    pub(crate) const DATA_SENT: u8 = 0x28;
    pub(crate) const DATA_REFUSED: u8 = 0x30;
    pub(crate) const ARBITRATION_LOST: u8 = 0x38;
    pub(crate) const ADDRESS_READ_ACKNOWLEDGED: u8 = 0x40;
    pub(crate) const ADDRESS_READ_REFUSED: u8 = 0x48;
    pub(crate) const DATA_RECEIVED: u8 = 0x50;
    pub(crate) const LAST_DATA_RECEIVED: u8 = 0x58;
}
