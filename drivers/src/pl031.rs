//! PL031 real-time clock (Arm DDI 0224), read only.

use safe_mmio::{UniqueMmioPointer, field_shared, fields::ReadPure};

/// The registers that are used.
#[repr(C)]
pub struct Registers {
    /// 0x000: Data Register, seconds since 1970-01-01 UTC
    data: ReadPure<u32>,
}

const _: () = assert!(size_of::<Registers>() == 4);

/// A PL031 real-time clock.
pub struct Pl031<'a>(UniqueMmioPointer<'a, Registers>);

impl<'a> Pl031<'a> {
    /// Takes over a clock that runs.
    pub const fn new(registers: UniqueMmioPointer<'a, Registers>) -> Self {
        Self(registers)
    }

    /// Returns the wall clock in seconds since 1970-01-01 UTC.
    pub fn unix_seconds(&self) -> u32 {
        field_shared!(self.0, data).read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_data_register() {
        let mut registers = Registers {
            data: ReadPure(1_800_000_000),
        };
        let clock = Pl031::new(UniqueMmioPointer::from(&mut registers));
        assert_eq!(clock.unix_seconds(), 1_800_000_000);
    }
}
