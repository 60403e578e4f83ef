//! A thermometer as the service sees it, and the LM75 as one.

use alloc::boxed::Box;
use core::fmt::{self, Display, Formatter};
use embedded_hal::i2c::{Error as _, ErrorKind, I2c, NoAcknowledgeSource};
use landfall::Thermometer;
use lm75::{Lm75, ic};

/// A temperature, in thousandths of a degree Celsius.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct MilliCelsius(pub(crate) i32);

/// In degrees, as JSON takes it: `21.5`.
impl Display for MilliCelsius {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        write!(formatter, "{sign}{}.{:03}", value / 1000, value % 1000)
    }
}

/// Why there is no temperature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SensorError {
    /// Nobody acknowledges the sensor's address.
    NoAnswer,
    /// The transaction went wrong in another way.
    Bus,
}

impl Display for SensorError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoAnswer => "the sensor does not answer",
            Self::Bus => "the I2C bus does not work",
        })
    }
}

impl From<ErrorKind> for SensorError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NoAcknowledge(
                NoAcknowledgeSource::Address | NoAcknowledgeSource::Unknown,
            ) => Self::NoAnswer,
            _ => Self::Bus,
        }
    }
}

/// What tells temperatures.
pub struct Sensor {
    pub(crate) name: &'static str,
    read: Box<dyn FnMut() -> Result<MilliCelsius, SensorError>>,
}

impl Sensor {
    /// An LM75, or a sensor that speaks as one, at `address` of `bus`.
    pub(crate) fn lm75(name: &'static str, bus: impl I2c + 'static, address: u8) -> Self {
        let mut lm75: Lm75<_, ic::Lm75> = Lm75::new(bus, address);
        let read = move || match lm75.read_temperature() {
            // An LM75 tells half degrees.
            Ok(degrees) => Ok(MilliCelsius((degrees * 2.0) as i32 * 500)),
            Err(lm75::Error::I2C(error)) => Err(error.kind().into()),
            // Only what is written to it can be invalid.
            Err(lm75::Error::InvalidInputData) => Err(SensorError::Bus),
        };
        let read = Box::new(read);
        Self { name, read }
    }

    /// A thermometer that the machine has by itself.
    pub(crate) fn board(thermometer: Thermometer) -> Self {
        let read = move || Ok(MilliCelsius(thermometer()?));
        let (name, read) = ("board", Box::new(read));
        Self { name, read }
    }

    pub(crate) fn read(&mut self) -> Result<MilliCelsius, SensorError> {
        (self.read)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_asked_for_its_own_may_fail() {
        let read = |thermometer| Sensor::board(thermometer).read();
        assert_eq!(read(|| Ok(41_500)), Ok(MilliCelsius(41_500)));
        assert_eq!(read(|| Err(ErrorKind::Other)), Err(SensorError::Bus));
        let silent = || Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        assert_eq!(read(silent), Err(SensorError::NoAnswer));
    }

    #[test]
    fn degrees_are_written_with_their_sign() {
        let text = |milli| alloc::format!("{}", MilliCelsius(milli));
        assert_eq!(text(21_500), "21.500");
        assert_eq!(text(-500), "-0.500");
        assert_eq!(text(-55_000), "-55.000");
    }
}
