//! The timers of Allwinner's A10 and A20 (A20 User Manual 1.4, "Timer"), of 32 bits, which count down at 24 MHz.
//!
//! The second counts all the time, and is made 64 bits wide by whoever reads it: that must happen once in each round of
//! 178 s. The first raises the interrupt: at the deadline, and in any case after half a round, so that a sleeper reads in
//! time.

use safe_mmio::{
    UniqueMmioPointer, field, field_shared,
    fields::{ReadPure, ReadPureWrite},
};

/// What the timers count, in Hz.
pub const FREQUENCY_HZ: u64 = 24_000_000;

/// The registers that are used.
#[repr(C)]
pub struct Registers {
    /// 0x00: Timer IRQ Enable
    interrupt_enable: ReadPureWrite<u32>,
    /// 0x04: Timer IRQ Status, cleared by ones
    interrupt_status: ReadPureWrite<u32>,
    reserved_08: [u32; 2],
    /// 0x10: the first, for deadlines
    deadline: TimerRegisters,
    reserved_1c: u32,
    /// 0x20: the second, which counts on
    clock: TimerRegisters,
}

/// A timer's registers.
#[repr(C)]
struct TimerRegisters {
    /// 0x0: Control
    control: ReadPureWrite<u32>,
    /// 0x4: Interval Value
    interval: ReadPureWrite<u32>,
    /// 0x8: Current Value
    current: ReadPure<u32>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Registers, deadline) == 0x10);
    assert!(offset_of!(Registers, clock) == 0x20);
    assert!(offset_of!(TimerRegisters, current) == 0x8);
};

/// The first timer's bit in the enable and the status of interrupts.
const DEADLINE: u32 = 1;
/// Control: it counts; it begins with its interval; 24 MHz, not divided; it stops at 0.
const ENABLE: u32 = 1;
const RELOAD: u32 = 1 << 1;
const OSCILLATOR: u32 = 0b01 << 2;
const ONCE: u32 = 1 << 7;

/// The longest that the CPU sleeps, in counts: half a round, 89 s.
const LONGEST: u64 = 1 << 31;
/// The shortest: the counts that a timer takes to notice that it was written.
const SHORTEST: u64 = 3;
/// How often the clock is looked at until a timer has noticed what was written: each look takes a count or more.
const PATIENCE: u32 = 100;

/// The two timers that are used.
pub struct Sun4iTimer<'a> {
    registers: UniqueMmioPointer<'a, Registers>,
    /// What the clock read the last time, and how far it had come then.
    current: u32,
    count: u64,
}

impl<'a> Sun4iTimer<'a> {
    /// Starts the clock.
    pub fn new(registers: UniqueMmioPointer<'a, Registers>) -> Self {
        let mut this = Self {
            registers,
            current: u32::MAX,
            count: 0,
        };
        let mut clock = field!(this.registers, clock);
        field!(clock, control).write(0);
        field!(clock, interval).write(u32::MAX);
        field!(clock, control).write(OSCILLATOR | RELOAD | ENABLE);
        field!(this.registers, interrupt_status).write(DEADLINE);
        field!(this.registers, interrupt_enable).write(DEADLINE);
        // What it read before it began is no time that has passed.
        let has_begun = |current: &u32| *current > u32::MAX / 2;
        let first = (0..PATIENCE).map(|_| this.current()).find(has_begun);
        this.current = first.unwrap_or_else(|| this.current());
        this
    }

    fn current(&self) -> u32 {
        let clock = field_shared!(self.registers, clock);
        field_shared!(clock, current).read()
    }

    /// Returns how many counts have passed since the start, if it was asked in each round.
    pub fn count(&mut self) -> u64 {
        let current = self.current();
        self.count += u64::from(self.current.wrapping_sub(current));
        self.current = current;
        self.count
    }

    /// Raises the interrupt, level-sensitive, when the count reaches `count`, or half a round from now.
    pub fn set_deadline(&mut self, count: u64) {
        let left = count.saturating_sub(self.count());
        let mut timer = field!(self.registers, deadline);
        field!(timer, control).write(0);
        self.wait_until_it_is_noticed();
        field!(self.registers, interrupt_status).write(DEADLINE);
        let mut timer = field!(self.registers, deadline);
        field!(timer, interval).write(left.clamp(SHORTEST, LONGEST) as u32);
        field!(timer, control).write(ONCE | OSCILLATOR | RELOAD | ENABLE);
    }

    /// Waits for the counts that a timer takes to notice that it was stopped.
    fn wait_until_it_is_noticed(&mut self) {
        let stopped = self.count();
        for _ in 0..PATIENCE {
            if self.count() >= stopped + SHORTEST {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer() -> TimerRegisters {
        TimerRegisters {
            control: ReadPureWrite(0xff),
            interval: ReadPureWrite(0),
            current: ReadPure(u32::MAX),
        }
    }

    fn registers() -> Registers {
        Registers {
            interrupt_enable: ReadPureWrite(0x3f),
            interrupt_status: ReadPureWrite(0),
            reserved_08: [0; 2],
            deadline: timer(),
            reserved_1c: 0,
            clock: timer(),
        }
    }

    /// Asks timers with a known past, as if their clock read `current` now.
    fn ask<R>(
        registers: &mut Registers,
        past: (u32, u64),
        current: u32,
        action: impl FnOnce(&mut Sun4iTimer<'_>) -> R,
    ) -> (R, (u32, u64)) {
        registers.clock.current = ReadPure(current);
        let mut timer = Sun4iTimer {
            registers: UniqueMmioPointer::from(registers),
            current: past.0,
            count: past.1,
        };
        let result = action(&mut timer);
        (result, (timer.current, timer.count))
    }

    #[test]
    fn the_clock_counts_down_from_the_top_for_ever() {
        let mut registers = registers();
        let mut timer = Sun4iTimer::new(UniqueMmioPointer::from(&mut registers));
        assert_eq!(timer.count(), 0);
        assert_eq!(registers.clock.interval.0, u32::MAX);
        assert_eq!(registers.clock.control.0, 0b111);
        assert_eq!(registers.interrupt_enable.0, 1);
    }

    #[test]
    fn rounds_add_up() {
        let mut registers = registers();
        let mut past = (u32::MAX, 0);
        // A third of a round at a time, over many rounds.
        const STEP: u32 = u32::MAX / 3;
        let mut current = u32::MAX;
        for step in 1..=30_u64 {
            current = current.wrapping_sub(STEP);
            let (count, next) = ask(&mut registers, past, current, |it| it.count());
            assert_eq!(count, step * u64::from(STEP));
            past = next;
        }
        // As long as a sleep may be.
        let current = current.wrapping_sub(LONGEST as u32);
        let (count, _) = ask(&mut registers, past, current, |it| it.count());
        assert_eq!(count, 30 * u64::from(STEP) + LONGEST);
    }

    #[test]
    fn a_deadline_is_what_is_left_within_half_a_round() {
        for (deadline, interval) in [
            (10_000, 9_000),
            (1_000, 3),
            (0, 3),
            (u64::MAX, 1 << 31),
            (1_000 + (1 << 32), 1 << 31),
        ] {
            let mut registers = registers();
            let past = (u32::MAX - 900, 900);
            ask(&mut registers, past, u32::MAX - 1_000, |timer| {
                timer.set_deadline(deadline);
            });
            assert_eq!(registers.deadline.interval.0, interval, "{deadline}");
            assert_eq!(registers.deadline.control.0, 0x87);
            assert_eq!(registers.interrupt_status.0, 1, "an old one is cleared");
        }
    }
}
