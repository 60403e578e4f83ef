//! PL011 UART (Arm DDI 0183), output only, as firmware or hypervisor left it configured.

pub use arm_pl011_uart::PL011Registers;
use arm_pl011_uart::Uart;
use safe_mmio::UniqueMmioPointer;

/// A PL011 UART.
pub struct Pl011<'a>(Uart<'a>);

impl<'a> Pl011<'a> {
    /// Takes over a UART that is set up and enabled.
    pub const fn new(registers: UniqueMmioPointer<'a, PL011Registers>) -> Self {
        Self(Uart::new(registers))
    }

    /// Writes all bytes, each line feed as carriage return and line feed, waiting for room in the
    /// transmit FIFO.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.write_byte(b'\r');
            }
            self.write_byte(byte);
        }
    }

    fn write_byte(&mut self, byte: u8) {
        while self.0.is_tx_fifo_full() {
            core::hint::spin_loop();
        }
        self.0.write_word(byte);
    }
}
