//! 16550 UART with registers of 32 bits each, as Synopsys' DW_apb_uart (Allwinner A20 User Manual, "UART"), output
//! only, as firmware left it configured.

use safe_mmio::{
    UniqueMmioPointer, field, field_shared,
    fields::{ReadPure, ReadWrite},
};

/// The registers that are used.
#[repr(C)]
pub struct Registers {
    /// 0x00: Transmit Holding Register
    transmit_holding: ReadWrite<u32>,
    reserved_04: [u32; 4],
    /// 0x14: Line Status Register
    line_status: ReadPure<u32>,
}

const _: () = assert!(core::mem::offset_of!(Registers, line_status) == 0x14);

/// Line status: the transmit holding register, or the FIFO, has room.
const TRANSMIT_EMPTY: u32 = 1 << 5;

/// A 16550 UART.
pub struct Uart16550<'a>(UniqueMmioPointer<'a, Registers>);

impl<'a> Uart16550<'a> {
    /// Takes over a UART that is set up and enabled.
    pub const fn new(registers: UniqueMmioPointer<'a, Registers>) -> Self {
        Self(registers)
    }

    /// Writes all bytes, each line feed as carriage return and line feed, waiting for room.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.write_byte(b'\r');
            }
            self.write_byte(byte);
        }
    }

    fn write_byte(&mut self, byte: u8) {
        while field_shared!(self.0, line_status).read() & TRANSMIT_EMPTY == 0 {
            core::hint::spin_loop();
        }
        field!(self.0, transmit_holding).write(byte.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_is_what_is_held() {
        let mut registers = Registers {
            transmit_holding: ReadWrite(0),
            reserved_04: [0; 4],
            line_status: ReadPure(TRANSMIT_EMPTY),
        };
        Uart16550::new(UniqueMmioPointer::from(&mut registers)).write(b"ab");
        assert_eq!(registers.transmit_holding.0, u32::from(b'b'));
    }
}
