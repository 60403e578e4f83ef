//! What gives an I2C controller its clock, and which pins are its own: the clock control units of A10 and A20 (A20 User
//! Manual 1.4, "CCU") and H3 (H3 Datasheet 1.2, 4.3 "CCU") differ in a few words.

use super::Generation;
use crate::sunxi_pio::PinNumber;
use core::fmt;
use safe_mmio::{UniqueMmioPointer, field, fields::ReadPureWrite};

/// The clock control unit's registers that are used, which are at the same places in all of them.
#[repr(C)]
pub struct ClockRegisters {
    reserved_000: [u32; 22],
    /// 0x058: the clock of the bus: APB1 of A10 and A20, APB2 of the H3
    bus_clock: ReadPureWrite<u32>,
    reserved_05c: [u32; 4],
    /// 0x06c: gates of that bus, I2C from bit 0 on
    gates: ReadPureWrite<u32>,
    reserved_070: [u32; 154],
    /// 0x2d8: resets of that bus, likewise; of the H3 only
    resets: ReadPureWrite<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(ClockRegisters, bus_clock) == 0x58);
    assert!(offset_of!(ClockRegisters, gates) == 0x6c);
    assert!(offset_of!(ClockRegisters, resets) == 0x2d8);
};

/// A chip whose controllers are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Chip {
    /// A10 and A20.
    Sun4i,
    /// H3.
    Sun8iH3,
}

/// A controller of a chip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bus {
    /// Its number in the manual: TWI0 and so on.
    pub number: u8,
    /// Its clock and data pin.
    pub pins: [PinNumber; 2],
    /// The pins' function that is the controller.
    pub function: u8,
    /// Its bit among the bus' gates, and among its resets.
    gate: u8,
}

const fn bus(number: u8, port: u8, pins: [u8; 2], function: u8) -> Bus {
    let [clock, data] = pins;
    Bus {
        number,
        pins: [
            PinNumber { port, pin: clock },
            PinNumber { port, pin: data },
        ],
        function,
        gate: number,
    }
}

/// The buses with the numbers of their clocks in the device tree (Linux include/dt-bindings/clock/sun4i-a10-ccu.h,
/// sun8i-h3-ccu.h), and their pins (A20 User Manual 1.4, "Port Controller"; H3 Datasheet 1.2, "GPIO Multiplexing
/// Functions").
const SUN4I: [(u32, Bus); 5] = [
    (79, bus(0, 1, [0, 1], 2)),
    (80, bus(1, 1, [18, 19], 2)),
    (81, bus(2, 1, [20, 21], 2)),
    (82, bus(3, 8, [0, 1], 3)),
    // Its gate is after the keyboards' and the card reader's.
    (
        87,
        Bus {
            gate: 15,
            ..bus(4, 8, [2, 3], 3)
        },
    ),
];
const SUN8I_H3: [(u32, Bus); 3] = [
    (59, bus(0, 0, [11, 12], 2)),
    (60, bus(1, 0, [18, 19], 3)),
    (61, bus(2, 4, [12, 13], 3)),
];

/// The oscillator of all chips, in Hz.
const OSCILLATOR_HZ: u32 = 24_000_000;

/// The bus' clock is not made of the oscillator: its register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OtherSource(pub u32);

impl fmt::Display for OtherSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "firmware has not made the bus clock of the oscillator ({:#010x})",
            self.0
        )
    }
}

impl core::error::Error for OtherSource {}

impl Chip {
    /// Returns the bus whose clock has this number in the device tree.
    pub fn bus(self, clock: u32) -> Option<Bus> {
        let buses = match self {
            Self::Sun4i => &SUN4I[..],
            Self::Sun8iH3 => &SUN8I_H3[..],
        };
        let found = buses.iter().find(|(number, _)| *number == clock);
        found.map(|(_, bus)| *bus)
    }

    /// How its controllers' flags are cleared.
    pub fn generation(self) -> Generation {
        match self {
            Self::Sun4i => Generation::Sun4i,
            Self::Sun8iH3 => Generation::Sun6i,
        }
    }

    /// Gives a controller its clock, and ends its reset; returns the clock in Hz.
    ///
    /// # Errors
    /// [`OtherSource`], with nothing changed.
    pub fn enable(
        self,
        mut clocks: UniqueMmioPointer<'_, ClockRegisters>,
        bus: Bus,
    ) -> Result<u32, OtherSource> {
        let control = field!(clocks, bus_clock).read();
        // Where the clock comes from, by two bits.
        let oscillator = match self {
            Self::Sun4i => 0b00,
            Self::Sun8iH3 => 0b01,
        };
        if control >> 24 & 0b11 != oscillator {
            return Err(OtherSource(control));
        }
        let set = |mut register: UniqueMmioPointer<'_, ReadPureWrite<u32>>| {
            let value = register.read();
            register.write(value | 1 << bus.gate);
        };
        set(field!(clocks, gates));
        if self == Self::Sun8iH3 {
            set(field!(clocks, resets));
        }
        let (shift, divider) = (control >> 16 & 0b11, (control & 0x1f) + 1);
        Ok((OSCILLATOR_HZ >> shift) / divider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(chip: Chip, clock: u32, control: u32) -> (ClockRegisters, Result<u32, OtherSource>) {
        let mut clocks = ClockRegisters {
            reserved_000: [0; 22],
            bus_clock: ReadPureWrite(control),
            reserved_05c: [0; 4],
            gates: ReadPureWrite(1 << 16),
            reserved_070: [0; 154],
            resets: ReadPureWrite(1 << 16),
        };
        let bus = chip.bus(clock).expect("it is known");
        let hz = chip.enable(UniqueMmioPointer::from(&mut clocks), bus);
        (clocks, hz)
    }

    #[test]
    fn each_chip_has_its_bits() {
        let (clocks, hz) = enabled(Chip::Sun8iH3, 61, 0x0100_0000);
        assert_eq!(hz, Ok(24_000_000));
        assert_eq!(
            (clocks.gates.0, clocks.resets.0),
            (1 << 16 | 1 << 2, 1 << 16 | 1 << 2)
        );
        // There is nothing where the H3 has its resets.
        let (clocks, hz) = enabled(Chip::Sun4i, 87, 0x0002_0002);
        assert_eq!(hz, Ok(2_000_000));
        assert_eq!(
            (clocks.gates.0, clocks.resets.0),
            (1 << 16 | 1 << 15, 1 << 16)
        );
    }

    #[test]
    fn another_source_of_the_bus_clock_is_refused() {
        for (chip, clock, control) in [
            (Chip::Sun8iH3, 59, 0x0200_0000),
            (Chip::Sun8iH3, 59, 0),
            (Chip::Sun4i, 79, 0x0100_0000),
        ] {
            let (clocks, hz) = enabled(chip, clock, control);
            assert_eq!(hz, Err(OtherSource(control)));
            assert_eq!((clocks.gates.0, clocks.resets.0), (1 << 16, 1 << 16));
        }
    }

    #[test]
    fn only_buses_that_are_there_are_known() {
        let number = |chip: Chip, clock| chip.bus(clock).map(|bus| bus.number);
        assert_eq!(number(Chip::Sun4i, 79), Some(0));
        assert_eq!(number(Chip::Sun8iH3, 59), Some(0));
        for (chip, clock) in [(Chip::Sun4i, 59), (Chip::Sun8iH3, 79), (Chip::Sun8iH3, 62)] {
            assert_eq!(number(chip, clock), None);
        }
    }
}
