//! A sensor that is not there: an LM75 (LM75B Product data sheet, 7.4) at the other side of the same trait by which a
//! real one is asked. Its temperature is a slow wave with some noise, the same at each start.

use embedded_hal::i2c::{
    ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress,
};

/// Registers: the temperature, the configuration, and the two thresholds.
const TEMPERATURE: u8 = 0;
const CONFIGURATION: u8 = 1;
const THRESHOLDS: u8 = 2;

/// The wave: its middle and height in thousandths of a degree, and in how many readings it comes back.
const MIDDLE: i32 = 21_500;
const HEIGHT: i32 = 3_000;
const PERIOD: i32 = 120;
const NOISE: i32 = 400;

/// An I2C bus with one LM75.
pub(crate) struct SimulatedLm75 {
    address: u8,
    pointer: u8,
    configuration: u8,
    /// Hysteresis and overtemperature shutdown.
    thresholds: [u16; 2],
    /// Each so many-th reading is not answered; 0 is none.
    fail: u32,
    readings: u32,
    noise: u32,
}

impl SimulatedLm75 {
    pub(crate) fn new(address: u8, fail: u32) -> Self {
        Self {
            address,
            pointer: TEMPERATURE,
            configuration: 0,
            // 75 and 80 degrees.
            thresholds: [0x4b00, 0x5000],
            fail,
            readings: 0,
            noise: 1,
        }
    }

    /// Points at a register, and writes what follows to it.
    fn be_told(&mut self, bytes: &[u8]) {
        let Some((&pointer, value)) = bytes.split_first() else {
            return;
        };
        self.pointer = pointer & 0b11;
        match (self.pointer, value) {
            (CONFIGURATION, [value, ..]) => self.configuration = *value,
            (THRESHOLDS.., [high, low, ..]) => {
                let threshold = &mut self.thresholds[usize::from(self.pointer - THRESHOLDS)];
                *threshold = u16::from_be_bytes([*high, *low & 0x80]);
            }
            _ => {}
        }
    }

    fn tell(&mut self, bytes: &mut [u8]) {
        let value = match self.pointer {
            TEMPERATURE => self.convert(),
            CONFIGURATION => u16::from_be_bytes([self.configuration; 2]),
            other => self.thresholds[usize::from(other - THRESHOLDS)],
        };
        // Who reads on, reads the same again.
        let value = value.to_be_bytes().into_iter().cycle();
        bytes
            .iter_mut()
            .zip(value)
            .for_each(|(to, from)| *to = from);
    }

    /// Returns the next temperature as the register has it: half degrees in the upper nine bits.
    fn convert(&mut self) -> u16 {
        // Two parabolas are near enough to a sine.
        let place = self.readings.cast_signed().rem_euclid(PERIOD);
        let half = PERIOD / 2;
        let (part, sign) = (place % half, if place < half { 1 } else { -1 });
        let wave = sign * HEIGHT * 4 * part * (half - part) / (half * half);
        let milli = MIDDLE + wave + self.next_noise();
        let halves = (milli + 250).div_euclid(500);
        (halves << 7) as u16
    }

    /// Xorshift (Marsaglia 2003), within bounds.
    fn next_noise(&mut self) -> i32 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        (self.noise >> 8).cast_signed() % (2 * NOISE + 1) - NOISE
    }

    /// Returns whether the sensor is deaf for this transaction, which reads the temperature.
    fn is_deaf(&mut self) -> bool {
        self.readings = self.readings.wrapping_add(1);
        self.fail != 0 && self.readings.is_multiple_of(self.fail)
    }
}

impl ErrorType for SimulatedLm75 {
    type Error = ErrorKind;
}

impl I2c<SevenBitAddress> for SimulatedLm75 {
    fn transaction(
        &mut self,
        address: SevenBitAddress,
        operations: &mut [Operation<'_>],
    ) -> Result<(), ErrorKind> {
        let reads = operations
            .iter()
            .any(|operation| matches!(operation, Operation::Read(_)));
        if address != self.address || reads && self.is_deaf() {
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        for operation in operations {
            match operation {
                Operation::Read(bytes) => self.tell(bytes),
                Operation::Write(bytes) => self.be_told(bytes),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::{Sensor, SensorError};
    use alloc::vec::Vec;

    fn readings(address: u8, asked: u8, fail: u32, count: usize) -> Vec<Result<i32, SensorError>> {
        let mut sensor = Sensor::lm75("simulated", SimulatedLm75::new(address, fail), asked);
        let read = core::iter::repeat_with(|| sensor.read().map(|it| it.0));
        read.take(count).collect()
    }

    #[test]
    fn it_is_a_slow_wave_that_is_the_same_each_time() {
        let one = readings(0x48, 0x48, 0, 2 * PERIOD as usize);
        assert_eq!(one, readings(0x48, 0x48, 0, 2 * PERIOD as usize));
        let values: Vec<i32> = one.into_iter().map(|it| it.expect("it answers")).collect();
        let (least, most) = (values.iter().min(), values.iter().max());
        assert!(
            (18_000..=19_000).contains(least.expect("some")),
            "{values:?}"
        );
        assert!(
            (24_000..=25_000).contains(most.expect("some")),
            "{values:?}"
        );
        for pair in values.windows(2) {
            assert!(pair[0].abs_diff(pair[1]) <= 1_500, "{pair:?}");
            assert_eq!(pair[0] % 500, 0);
        }
    }

    #[test]
    fn it_fails_when_it_is_told_to() {
        let failed = |fail| {
            let readings = readings(0x48, 0x48, fail, 9);
            let failed = readings.iter().enumerate().filter(|(_, it)| it.is_err());
            failed.map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert!(failed(0).is_empty());
        assert_eq!(failed(3), [2, 5, 8]);
        assert_eq!(failed(1), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(readings(0x48, 0x49, 0, 1), [Err(SensorError::NoAnswer)]);
    }

    #[test]
    fn it_has_the_registers_of_an_lm75() {
        let mut bus = SimulatedLm75::new(0x48, 0);
        let mut read = |register| {
            let mut bytes = [0; 2];
            bus.write_read(0x48, &[register], &mut bytes)
                .expect("it answers");
            bytes
        };
        assert_eq!((read(1), read(2), read(3)), ([0, 0], [0x4b, 0], [0x50, 0]));
        bus.write(0x48, &[1, 0x1e]).expect("it answers");
        bus.write(0x48, &[3, 0x20, 0xff]).expect("it answers");
        let mut bytes = [0; 4];
        bus.read(0x48, &mut bytes).expect("it answers");
        assert_eq!(bytes, [0x20, 0x80, 0x20, 0x80]);
        bus.write_read(0x48, &[1], &mut bytes).expect("it answers");
        assert_eq!(bytes, [0x1e; 4]);
    }
}
