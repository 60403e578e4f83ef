//! The power management chip AXP209 of X-Powers' (AXP209 Datasheet 1.0, "Registers"), on any I2C bus.

use core::fmt;
use embedded_hal::i2c::I2c;

/// Registers.
const POWER_STATUS: u8 = 0x00;
/// The low half is 1 (U-Boot `include/axp209.h`, "CHIP_VERSION"; the datasheet leaves it out).
const CHIP_VERSION: u8 = 0x03;
const SHUTDOWN: u8 = 0x32;
const ACIN_VOLTAGE: u8 = 0x56;
const VBUS_VOLTAGE: u8 = 0x5a;
const TEMPERATURE: u8 = 0x5e;
const ADC_ENABLE_1: u8 = 0x82;
const ADC_ENABLE_2: u8 = 0x83;

/// Power Status: what supplies it.
const ACIN_PRESENT: u8 = 1 << 7;
const VBUS_PRESENT: u8 = 1 << 5;
/// Shutdown: off with everything.
const OFF: u8 = 1 << 7;
/// ADC Enable 1 and 2: what is measured.
const MEASURE_VOLTAGES: u8 = 1 << 5 | 1 << 3;
const MEASURE_TEMPERATURE: u8 = 1 << 7;

/// How long after [`Axp209::new`] everything was measured once, in milliseconds: it measures 25 times a second.
pub const FIRST_MEASURED_MS: u64 = 50;

/// Why it is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Axp209Error<E> {
    /// The bus says why.
    Bus(E),
    /// Another chip answers; its version.
    Version(u8),
}

impl<E> From<E> for Axp209Error<E> {
    fn from(error: E) -> Self {
        Self::Bus(error)
    }
}

impl<E: fmt::Display> fmt::Display for Axp209Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(error) => error.fmt(f),
            Self::Version(version) => write!(f, "version {version:#04x} is not that of an AXP209"),
        }
    }
}

/// What supplies the chip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Supply {
    /// The input for power supplies.
    Acin,
    /// The USB input.
    Vbus,
    /// A battery, or nothing that it knows.
    Other,
}

impl fmt::Display for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acin => "ACIN",
            Self::Vbus => "VBUS",
            Self::Other => "neither input",
        })
    }
}

/// The chip.
pub struct Axp209<B> {
    bus: B,
    address: u8,
}

impl<B: I2c> Axp209<B> {
    /// Finds the chip at `address`, and has it measure its inputs and its temperature.
    ///
    /// # Errors
    /// [`Axp209Error`].
    pub fn new(bus: B, address: u8) -> Result<Self, Axp209Error<B::Error>> {
        let mut this = Self { bus, address };
        let version = this.read(CHIP_VERSION)?;
        if version & 0x0f != 1 {
            return Err(Axp209Error::Version(version));
        }
        this.set(ADC_ENABLE_1, MEASURE_VOLTAGES)?;
        this.set(ADC_ENABLE_2, MEASURE_TEMPERATURE)?;
        Ok(this)
    }

    /// Returns the chip's own temperature, in thousandths of a degree Celsius.
    ///
    /// # Errors
    /// The bus'.
    pub fn temperature_millicelsius(&mut self) -> Result<i32, B::Error> {
        // A tenth of a degree a step, from -144.7 degrees on.
        Ok(i32::from(self.measured(TEMPERATURE)?) * 100 - 144_700)
    }

    /// Returns what supplies it, and its voltage in millivolts.
    ///
    /// # Errors
    /// The bus'.
    pub fn supply(&mut self) -> Result<(Supply, u32), B::Error> {
        let status = self.read(POWER_STATUS)?;
        let (supply, register) = match status {
            _ if status & ACIN_PRESENT != 0 => (Supply::Acin, ACIN_VOLTAGE),
            _ if status & VBUS_PRESENT != 0 => (Supply::Vbus, VBUS_VOLTAGE),
            _ => return Ok((Supply::Other, 0)),
        };
        // 1.7 mV a step.
        Ok((supply, u32::from(self.measured(register)?) * 17 / 10))
    }

    /// Turns off all that it supplies, the CPU too: on a board that does not live on something else, this is the end.
    ///
    /// # Errors
    /// The bus'.
    pub fn turn_off(&mut self) -> Result<(), B::Error> {
        self.set(SHUTDOWN, OFF)
    }

    fn read(&mut self, register: u8) -> Result<u8, B::Error> {
        let mut value = [0];
        self.bus.write_read(self.address, &[register], &mut value)?;
        Ok(value[0])
    }

    fn set(&mut self, register: u8, bits: u8) -> Result<(), B::Error> {
        let value = self.read(register)? | bits;
        self.bus.write(self.address, &[register, value])
    }

    /// Twelve bits: eight, and four more in the register after.
    fn measured(&mut self, register: u8) -> Result<u16, B::Error> {
        let high = self.read(register)?;
        let low = self.read(register + 1)?;
        Ok(u16::from(high) << 4 | u16::from(low & 0xf))
    }
}
