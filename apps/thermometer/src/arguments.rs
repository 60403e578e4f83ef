//! What the app's boot arguments can be.

use core::time::Duration;
use landfall::arguments::ArgumentValue;

/// Where temperatures come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// A sensor that the app makes up.
    Simulated,
    /// A sensor on an I2C bus of the machine.
    I2c,
    /// The machine's own.
    Board,
}

impl ArgumentValue for Source {
    const EXPECTED: &'static str = "simulated, i2c or board";

    fn read(text: &str) -> Option<Self> {
        match text {
            "simulated" => Some(Self::Simulated),
            "i2c" => Some(Self::I2c),
            "board" => Some(Self::Board),
            _ => None,
        }
    }
}

/// The address of a device on an I2C bus: of 7 bits, and none of those that are reserved (UM10204, 3.1.12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address(pub(crate) u8);

impl Address {
    /// That of an LM75 whose three address pins are low.
    pub const LM75: Self = Self(0x48);
}

impl ArgumentValue for Address {
    const EXPECTED: &'static str = "an address on an I2C bus, from 0x08 to 0x77";

    fn read(text: &str) -> Option<Self> {
        let value = match text.strip_prefix("0x") {
            // `from_str_radix` would take a sign.
            Some(digits) if !digits.starts_with('+') => u8::from_str_radix(digits, 16).ok()?,
            Some(_) => return None,
            None => text.parse().ok()?,
        };
        (0x08..=0x77).contains(&value).then_some(Self(value))
    }
}

/// The time between two readings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval(pub(crate) embassy_time::Duration);

impl Interval {
    /// Where the user does not say.
    pub const FIVE_SECONDS: Self = Self(embassy_time::Duration::from_secs(5));
}

impl ArgumentValue for Interval {
    const EXPECTED: &'static str = "a time from 100ms to 1h, such as 5s";

    fn read(text: &str) -> Option<Self> {
        let interval = Duration::read(text)?;
        let allowed = Duration::from_millis(100)..=Duration::from_secs(3600);
        allowed.contains(&interval).then(|| {
            Self(embassy_time::Duration::from_millis(
                interval.as_millis() as u64
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_seven_bits_and_not_reserved() {
        let read = |text| Address::read(text).map(|address| address.0);
        assert_eq!(read("0x48"), Some(0x48));
        assert_eq!(read("0x4F"), Some(0x4f));
        assert_eq!(read("72"), Some(0x48));
        for wrong in ["", "0x", "0x07", "0x78", "0x148", "0x+48", "48h", "-72"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn intervals_have_bounds() {
        let read = |text| Interval::read(text).map(|interval| interval.0.as_millis());
        assert_eq!(read("100ms"), Some(100));
        assert_eq!(read("1h"), Some(3_600_000));
        for wrong in [
            "",
            "0s",
            "99ms",
            "3601s",
            "2h",
            "5",
            "18446744073709551615h",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sources_have_names() {
        assert_eq!(Source::read("i2c"), Some(Source::I2c));
        assert_eq!(Source::read("board"), Some(Source::Board));
        assert_eq!(Source::read("simulated"), Some(Source::Simulated));
        assert_eq!(Source::read("I2C"), None);
    }
}
