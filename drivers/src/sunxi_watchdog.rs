//! The watchdog of Allwinner's A10 and A20 (A20 User Manual 1.4, 1.9.3 "Timer": WDOG), and that of the A31, H3 and
//! later (H3 Datasheet 1.2, 4.4 "Timer": WDOG0). It resets the whole chip unless it is fed.

use safe_mmio::{UniqueMmioPointer, field, fields::ReadPureWrite};

/// Registers of the A10's and A20's.
#[repr(C)]
pub struct Sun4iRegisters {
    /// 0x0: Control
    control: ReadPureWrite<u32>,
    /// 0x4: Mode
    mode: ReadPureWrite<u32>,
}

/// Registers of the A31's and later ones.
#[repr(C)]
pub struct Sun6iRegisters {
    reserved_00: [u32; 4],
    /// 0x10: Control
    control: ReadPureWrite<u32>,
    /// 0x14: Configuration
    configuration: ReadPureWrite<u32>,
    /// 0x18: Mode
    mode: ReadPureWrite<u32>,
}

const _: () = assert!(core::mem::offset_of!(Sun6iRegisters, mode) == 0x18);

/// What feeds it: a key and the bit that counts.
const FEED: u32 = 0xa57 << 1 | 1;
/// The code of the longest interval; that of the shortest is 0.
const SIXTEEN_SECONDS: u32 = 0xb;
const ENABLE: u32 = 1;
/// sun4i's mode: a reset, not an interrupt.
const SUN4I_RESETS: u32 = 1 << 1;
/// sun6i's configuration: to the whole system.
const SUN6I_WHOLE_SYSTEM: u32 = 1;

/// How long it waits for the next meal, in microseconds.
pub const INTERVAL_US: u64 = 16_000_000;

/// A watchdog of either kind.
pub enum Watchdog<'a> {
    /// The A10's and A20's.
    Sun4i(UniqueMmioPointer<'a, Sun4iRegisters>),
    /// The A31's and later ones.
    Sun6i(UniqueMmioPointer<'a, Sun6iRegisters>),
}

impl Watchdog<'_> {
    /// Lets it reset the chip [`INTERVAL_US`] after its last meal, which this is.
    pub fn start(&mut self) {
        match self {
            Self::Sun4i(registers) => {
                let mode = SIXTEEN_SECONDS << 3 | SUN4I_RESETS | ENABLE;
                field!(*registers, mode).write(mode);
            }
            Self::Sun6i(registers) => {
                field!(*registers, configuration).write(SUN6I_WHOLE_SYSTEM);
                field!(*registers, mode).write(SIXTEEN_SECONDS << 4 | ENABLE);
            }
        }
        self.feed();
    }

    /// Resets the chip in half a second.
    pub fn reset(&mut self) {
        match self {
            Self::Sun4i(registers) => field!(*registers, mode).write(SUN4I_RESETS | ENABLE),
            Self::Sun6i(registers) => field!(*registers, mode).write(ENABLE),
        }
        self.feed();
    }

    /// Has it wait for nothing any more.
    pub fn stop(&mut self) {
        match self {
            Self::Sun4i(registers) => field!(*registers, mode).write(0),
            Self::Sun6i(registers) => field!(*registers, mode).write(0),
        }
    }

    /// Has it wait anew.
    pub fn feed(&mut self) {
        match self {
            Self::Sun4i(registers) => field!(*registers, control).write(FEED),
            Self::Sun6i(registers) => field!(*registers, control).write(FEED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_set_to_sixteen_seconds() {
        let mut older = Sun4iRegisters {
            control: ReadPureWrite(0),
            mode: ReadPureWrite(0),
        };
        Watchdog::Sun4i(UniqueMmioPointer::from(&mut older)).start();
        assert_eq!((older.control.0, older.mode.0), (0x14af, 0x5b));
        let mut newer = Sun6iRegisters {
            reserved_00: [0; 4],
            control: ReadPureWrite(0),
            configuration: ReadPureWrite(0),
            mode: ReadPureWrite(0),
        };
        Watchdog::Sun6i(UniqueMmioPointer::from(&mut newer)).start();
        assert_eq!(
            (newer.control.0, newer.configuration.0, newer.mode.0),
            (0x14af, 1, 0xb1)
        );
        Watchdog::Sun6i(UniqueMmioPointer::from(&mut newer)).reset();
        assert_eq!(newer.mode.0, 1);
        Watchdog::Sun6i(UniqueMmioPointer::from(&mut newer)).stop();
        assert_eq!(newer.mode.0, 0);
    }
}
