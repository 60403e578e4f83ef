//! The last readings, and how they are told.

use crate::sensor::{MilliCelsius, SensorError};
use alloc::{collections::VecDeque, string::String};
use core::fmt::{self, Display, Formatter, Write as _};

/// How many are kept: half an hour of them at five seconds each.
pub(crate) const CAPACITY: usize = 360;

/// What the sensor said at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reading {
    /// Milliseconds since boot.
    pub(crate) uptime_ms: u64,
    pub(crate) said: Result<MilliCelsius, SensorError>,
}

/// As a JSON object; `celsius` is `null` where the sensor failed, and `error` says why.
impl Display for Reading {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, r#"{{"uptime_ms":{},"celsius":"#, self.uptime_ms)?;
        match self.said {
            Ok(celsius) => write!(formatter, "{celsius}}}"),
            // Its sentences have nothing that JSON escapes.
            Err(error) => write!(formatter, r#"null,"error":"{error}"}}"#),
        }
    }
}

/// The last [`CAPACITY`] readings.
#[derive(Debug, Default)]
pub(crate) struct History {
    readings: VecDeque<Reading>,
    /// How many there were in all.
    count: u64,
}

impl History {
    pub(crate) fn push(&mut self, reading: Reading) {
        if self.readings.len() == CAPACITY {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
        self.count += 1;
    }

    /// Returns how many readings there were in all.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn last(&self) -> Option<&Reading> {
        self.readings.back()
    }

    /// Returns the reading that came when there were `count`, or the oldest that is kept.
    pub(crate) fn after(&self, count: u64) -> Option<&Reading> {
        let oldest = self.count - self.readings.len() as u64;
        let place = count.max(oldest) - oldest;
        self.readings.get(usize::try_from(place).ok()?)
    }

    /// Returns the readings as a JSON array, oldest first.
    pub(crate) fn json(&self) -> String {
        let mut json = String::from("[");
        for (number, reading) in self.readings.iter().enumerate() {
            let before = if number == 0 { "" } else { "," };
            // A String takes everything.
            let _ = write!(json, "{before}{reading}");
        }
        json.push(']');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(number: u64) -> Reading {
        Reading {
            uptime_ms: number,
            said: match number % 2 {
                0 => Ok(MilliCelsius(number as i32 * 500)),
                _ => Err(SensorError::NoAnswer),
            },
        }
    }

    #[test]
    fn only_the_last_are_kept() {
        let mut history = History::default();
        assert_eq!((history.json().as_str(), history.after(0)), ("[]", None));
        for number in 0..3 * CAPACITY as u64 {
            assert_eq!(history.count(), number);
            history.push(reading(number));
            assert_eq!(history.last(), Some(&reading(number)));
            assert_eq!(history.after(number), Some(&reading(number)));
            assert_eq!(history.after(number + 1), None);
            assert!(history.readings.len() <= CAPACITY);
        }
        let oldest = 2 * CAPACITY as u64;
        assert_eq!(history.after(0), Some(&reading(oldest)));
        assert_eq!(history.after(oldest + 7), Some(&reading(oldest + 7)));
        assert!(history.readings.capacity() < 2 * CAPACITY);
    }

    #[test]
    fn a_gap_says_why() {
        let mut history = History::default();
        history.push(reading(0));
        history.push(reading(1));
        assert_eq!(
            history.json(),
            r#"[{"uptime_ms":0,"celsius":0.000},{"uptime_ms":1,"celsius":null,"error":"the sensor does not answer"}]"#
        );
    }
}
