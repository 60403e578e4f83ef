//! The interrupt controller of Allwinner's A10 (A10 User Manual 1.50, "Interrupt controller"): 96 lines, level-sensitive,
//! to one core.
//!
//! An interrupt is masked unless it is enabled, and from its acknowledgement to its end, so that others are seen
//! meanwhile.

use core::fmt;
use safe_mmio::{
    UniqueMmioPointer, field, field_shared,
    fields::{ReadPure, ReadPureWrite},
};

/// Words of a bit for each interrupt.
const WORDS: usize = 3;
/// How many interrupts there are.
const INTERRUPTS: u32 = 32 * WORDS as u32;

/// The registers that are used.
#[repr(C)]
pub struct Registers {
    reserved_00: [u32; 4],
    /// 0x10: Interrupt IRQ Pending 0 to 2
    pending: [ReadPure<u32>; WORDS],
    reserved_1c: [u32; 5],
    /// 0x30: Interrupt Select 0 to 2: as fast interrupts
    select: [ReadPureWrite<u32>; WORDS],
    reserved_3c: u32,
    /// 0x40: Interrupt Enable 0 to 2
    enable: [ReadPureWrite<u32>; WORDS],
    reserved_4c: u32,
    /// 0x50: Interrupt Mask 0 to 2
    mask: [ReadPureWrite<u32>; WORDS],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Registers, pending) == 0x10);
    assert!(offset_of!(Registers, select) == 0x30);
    assert!(offset_of!(Registers, enable) == 0x40);
    assert!(offset_of!(Registers, mask) == 0x50);
};

/// An interrupt, 0 to 95, that the controller does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotImplemented(pub u32);

impl fmt::Display for NotImplemented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the interrupt controller does not implement interrupt {}",
            self.0
        )
    }
}

impl core::error::Error for NotImplemented {}

/// An interrupt controller.
pub struct Sun4iIntc<'a>(UniqueMmioPointer<'a, Registers>);

impl<'a> Sun4iIntc<'a> {
    /// Takes it over, and lets no interrupt through.
    pub fn new(registers: UniqueMmioPointer<'a, Registers>) -> Self {
        let mut this = Self(registers);
        for word in 0..WORDS {
            this.write(word, Bits::Mask, u32::MAX);
            this.write(word, Bits::Enable, 0);
            this.write(word, Bits::Select, 0);
        }
        this
    }

    /// Lets an interrupt through.
    ///
    /// # Errors
    /// [`NotImplemented`].
    pub fn enable(&mut self, number: u32) -> Result<(), NotImplemented> {
        if number >= INTERRUPTS {
            return Err(NotImplemented(number));
        }
        let (word, bit) = place(number);
        let enabled = self.read(word, Bits::Enable);
        self.write(word, Bits::Enable, enabled | bit);
        self.end(number);
        Ok(())
    }

    /// Returns the pending interrupt of lowest number and masks it, or `None`.
    pub fn acknowledge(&mut self) -> Option<u32> {
        (0..WORDS).find_map(|word| {
            let mask = self.read(word, Bits::Mask);
            let pending = self.pending(word) & !mask;
            if pending == 0 {
                return None;
            }
            let bit = pending.trailing_zeros();
            self.write(word, Bits::Mask, mask | 1 << bit);
            Some(32 * word as u32 + bit)
        })
    }

    /// Ends an interrupt that was acknowledged.
    pub fn end(&mut self, number: u32) {
        if number < INTERRUPTS {
            let (word, bit) = place(number);
            let mask = self.read(word, Bits::Mask);
            self.write(word, Bits::Mask, mask & !bit);
        }
    }

    fn pending(&self, word: usize) -> u32 {
        let words = field_shared!(self.0, pending);
        words.get(word).map_or(0, |it| it.read())
    }

    fn bits(&mut self, which: Bits) -> UniqueMmioPointer<'_, [ReadPureWrite<u32>; WORDS]> {
        match which {
            Bits::Select => field!(self.0, select),
            Bits::Enable => field!(self.0, enable),
            Bits::Mask => field!(self.0, mask),
        }
    }

    fn read(&mut self, word: usize, which: Bits) -> u32 {
        let mut words = self.bits(which);
        words.get(word).map_or(0, |it| it.read())
    }

    fn write(&mut self, word: usize, which: Bits, value: u32) {
        if let Some(mut register) = self.bits(which).get(word) {
            register.write(value);
        }
    }
}

/// The registers that can be written.
#[derive(Clone, Copy)]
enum Bits {
    Select,
    Enable,
    Mask,
}

/// The word of an interrupt, and its bit.
fn place(number: u32) -> (usize, u32) {
    (number as usize / 32, 1 << (number % 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers() -> Registers {
        Registers {
            reserved_00: [0; 4],
            pending: [const { ReadPure(0) }; WORDS],
            reserved_1c: [0; 5],
            // As somebody before may have left them.
            select: [const { ReadPureWrite(7) }; WORDS],
            reserved_3c: 0,
            enable: [const { ReadPureWrite(u32::MAX) }; WORDS],
            reserved_4c: 0,
            mask: [const { ReadPureWrite(0) }; WORDS],
        }
    }

    fn with<R>(registers: &mut Registers, action: impl FnOnce(&mut Sun4iIntc<'_>) -> R) -> R {
        action(&mut Sun4iIntc(UniqueMmioPointer::from(registers)))
    }

    #[test]
    fn at_first_nothing_passes() {
        let mut registers = registers();
        registers.pending[1] = ReadPure(u32::MAX);
        let mut intc = Sun4iIntc::new(UniqueMmioPointer::from(&mut registers));
        assert_eq!(intc.acknowledge(), None);
        for word in 0..WORDS {
            assert_eq!(registers.mask[word].0, u32::MAX);
            assert_eq!((registers.enable[word].0, registers.select[word].0), (0, 0));
        }
    }

    #[test]
    fn each_is_seen_once_until_its_end_and_lower_ones_first() {
        let mut registers = registers();
        let mut intc = Sun4iIntc::new(UniqueMmioPointer::from(&mut registers));
        for number in [22, 55, 95] {
            intc.enable(number).unwrap();
        }
        assert_eq!(intc.enable(96), Err(NotImplemented(96)));
        assert_eq!(intc.enable(u32::MAX), Err(NotImplemented(u32::MAX)));
        assert_eq!(registers.mask[1].0, !(1 << 23));
        // 21 too, which nobody has enabled.
        registers.pending = [ReadPure(3 << 21), ReadPure(1 << 23), ReadPure(1 << 31)];
        let seen: [Option<u32>; 4] = with(&mut registers, |it| {
            core::array::from_fn(|_| it.acknowledge())
        });
        assert_eq!(seen, [Some(22), Some(55), Some(95), None]);
        // Its device still raises the line.
        with(&mut registers, |it| it.end(55));
        assert_eq!(with(&mut registers, |it| it.acknowledge()), Some(55));
        with(&mut registers, |it| it.end(1000));
    }
}
