//! The I2C controller of Allwinner's chips, which they call TWI (A20 User Manual 1.4 and H3 Datasheet 1.2,
//! "TWI"), as master, as [`embedded_hal::i2c::I2c`].
//!
//! The controller takes a step of the bus at a time: it says by a flag that the step is done and by a status how it went,
//! and holds the bus until the flag is cleared. Nothing here waits for longer than [`PATIENCE_US`] for a step.
//!
//! Neighbours: `clocks`, what gives the controller its clock; `registers`.

pub mod clocks;
mod registers;
#[cfg(test)]
mod tests;

pub use registers::{Register, Registers, TwiRegisters};
use registers::{control, status};

use core::fmt;
use embedded_hal::{
    delay::DelayNs,
    i2c::{self, ErrorKind, I2c, NoAcknowledgeSource, Operation},
};

/// How fast the bus is: UM10204's standard mode, which every device bears.
pub const SPEED_HZ: u32 = 100_000;

/// How long a step may take, in microseconds: a byte takes 90, the rest is for devices that stretch the clock.
pub const PATIENCE_US: u32 = 3_000;

/// How often the flag is looked at, in microseconds.
const LOOK_US: u32 = 5;

/// How an interrupt flag is cleared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Generation {
    /// A10, A13, A20: by writing 0 to it.
    Sun4i,
    /// A31, H3 and later: by writing 1 to it, which their manuals do not say (Linux `i2c-mv64xxx.c`,
    /// `irq_clear_inverted`).
    Sun6i,
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum I2cError {
    /// The controller does not keep what is written to it: there is none, or it has no clock.
    NoController,
    /// The bus clock, in Hz, cannot be divided to [`SPEED_HZ`].
    Clock(u32),
    /// An address of more than 7 bits.
    Address(u8),
    /// Nobody acknowledges the address, or the device does not acknowledge a byte.
    NoAcknowledge(NoAcknowledgeSource),
    /// Another master was faster.
    ArbitrationLoss,
    /// START or STOP where there must be none.
    Bus,
    /// A step was not over in [`PATIENCE_US`]: a line is held low, or the clock stands still.
    Timeout,
    /// A status that does not belong to the step.
    Unexpected(u8),
}

impl fmt::Display for I2cError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoController => {
                f.write_str("the I2C controller does not keep what is written to it")
            }
            Self::Clock(hz) => write!(f, "no divider makes {SPEED_HZ} Hz of {hz} Hz"),
            Self::Address(address) => write!(f, "{address:#x} is no I2C address of 7 bits"),
            Self::NoAcknowledge(NoAcknowledgeSource::Data) => {
                f.write_str("the device does not acknowledge what it is sent")
            }
            Self::NoAcknowledge(_) => f.write_str("no device acknowledges the address"),
            Self::ArbitrationLoss => f.write_str("another master has the I2C bus"),
            Self::Bus => f.write_str("START or STOP on the I2C bus where there must be none"),
            Self::Timeout => write!(
                f,
                "the I2C bus stands still: nothing happened in {PATIENCE_US} µs"
            ),
            Self::Unexpected(status) => {
                write!(
                    f,
                    "the I2C controller has status {status:#04x} where it cannot"
                )
            }
        }
    }
}

impl core::error::Error for I2cError {}

impl i2c::Error for I2cError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAcknowledge(source) => ErrorKind::NoAcknowledge(*source),
            Self::ArbitrationLoss => ErrorKind::ArbitrationLoss,
            Self::Bus => ErrorKind::Bus,
            Self::NoController
            | Self::Clock(_)
            | Self::Address(_)
            | Self::Timeout
            | Self::Unexpected(_) => ErrorKind::Other,
        }
    }
}

/// A controller, and a clock to wait by.
pub struct SunxiI2c<R, D> {
    registers: R,
    delay: D,
    generation: Generation,
    /// The Clock register.
    clock: u32,
}

/// Which way a byte goes, and what the address says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Direction {
    Write = 0,
    Read = 1,
}

impl<R: TwiRegisters, D: DelayNs> SunxiI2c<R, D> {
    /// Sets up a controller that has its clock of `bus_clock_hz` and its pins.
    ///
    /// # Errors
    /// [`I2cError::Clock`], [`I2cError::NoController`].
    pub fn new(
        registers: R,
        delay: D,
        generation: Generation,
        bus_clock_hz: u32,
    ) -> Result<Self, I2cError> {
        let clock = divider(bus_clock_hz).ok_or(I2cError::Clock(bus_clock_hz))?;
        let mut this = Self {
            registers,
            delay,
            generation,
            clock,
        };
        this.reset()?;
        Ok(this)
    }

    /// Begins anew, and leaves the bus.
    fn reset(&mut self) -> Result<(), I2cError> {
        self.registers.write(Register::SoftReset, 1);
        self.wait(|registers| registers.read(Register::SoftReset) & 1 == 0)?;
        self.registers.write(Register::Clock, self.clock);
        if self.registers.read(Register::Clock) & registers::CLOCK_MASK != self.clock {
            return Err(I2cError::NoController);
        }
        self.registers.write(Register::Control, control::BUS_ENABLE);
        Ok(())
    }

    /// Waits until `done`, and looks at least once.
    fn wait(&mut self, done: impl Fn(&mut R) -> bool) -> Result<(), I2cError> {
        for _ in 0..PATIENCE_US / LOOK_US {
            if done(&mut self.registers) {
                return Ok(());
            }
            self.delay.delay_us(LOOK_US);
        }
        match done(&mut self.registers) {
            true => Ok(()),
            false => Err(I2cError::Timeout),
        }
    }

    /// Clears the flag, by which the controller does what `bits` say.
    fn go(&mut self, bits: u32) {
        let clear = match self.generation {
            Generation::Sun4i => 0,
            Generation::Sun6i => control::INTERRUPT_FLAG,
        };
        self.registers
            .write(Register::Control, control::BUS_ENABLE | bits | clear);
    }

    /// Takes a step; returns how it went.
    fn step(&mut self, bits: u32) -> Result<u8, I2cError> {
        self.go(bits);
        self.wait(|registers| registers.read(Register::Control) & control::INTERRUPT_FLAG != 0)?;
        match self.registers.read(Register::Status) as u8 {
            status::ARBITRATION_LOST => Err(I2cError::ArbitrationLoss),
            status::BUS_ERROR => Err(I2cError::Bus),
            other => Ok(other),
        }
    }

    /// Sends START, or once more START, and the address.
    fn begin(&mut self, address: u8, direction: Direction) -> Result<(), I2cError> {
        match self.step(control::START)? {
            status::START_SENT | status::START_SENT_AGAIN => {}
            other => return Err(I2cError::Unexpected(other)),
        }
        let byte = address << 1 | direction as u8;
        self.registers.write(Register::Data, byte.into());
        match self.step(0)? {
            status::ADDRESS_WRITE_ACKNOWLEDGED | status::ADDRESS_READ_ACKNOWLEDGED => Ok(()),
            status::ADDRESS_WRITE_REFUSED | status::ADDRESS_READ_REFUSED => {
                Err(I2cError::NoAcknowledge(NoAcknowledgeSource::Address))
            }
            other => Err(I2cError::Unexpected(other)),
        }
    }

    fn send(&mut self, byte: u8) -> Result<(), I2cError> {
        self.registers.write(Register::Data, byte.into());
        match self.step(0)? {
            status::DATA_SENT => Ok(()),
            status::DATA_REFUSED => Err(I2cError::NoAcknowledge(NoAcknowledgeSource::Data)),
            other => Err(I2cError::Unexpected(other)),
        }
    }

    /// Receives a byte. The last of a run is not acknowledged, by which the device lets the data line go.
    fn receive(&mut self, is_last: bool) -> Result<u8, I2cError> {
        let (bits, expected) = match is_last {
            true => (0, status::LAST_DATA_RECEIVED),
            false => (control::ACKNOWLEDGE, status::DATA_RECEIVED),
        };
        match self.step(bits)? {
            status if status == expected => Ok(self.registers.read(Register::Data) as u8),
            other => Err(I2cError::Unexpected(other)),
        }
    }

    fn perform(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), I2cError> {
        let mut before = None;
        let mut rest = operations;
        while let Some((operation, following)) = rest.split_first_mut() {
            let direction = match operation {
                Operation::Read(_) => Direction::Read,
                Operation::Write(_) => Direction::Write,
            };
            let begins = before != Some(direction);
            if begins {
                self.begin(address, direction)?;
            }
            match operation {
                Operation::Write(bytes) => bytes.iter().try_for_each(|byte| self.send(*byte))?,
                Operation::Read(bytes) => {
                    let more = reads_on(following);
                    let last = bytes.len().checked_sub(1).filter(|_| !more);
                    for (number, byte) in bytes.iter_mut().enumerate() {
                        *byte = self.receive(last == Some(number))?;
                    }
                    if begins && bytes.is_empty() && !more {
                        // A device that was asked sends: there is no shorter way to let it go.
                        self.receive(true)?;
                    }
                }
            }
            before = Some(direction);
            rest = following;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), I2cError> {
        self.go(control::STOP);
        self.wait(|registers| registers.read(Register::Control) & control::STOP == 0)
    }
}

/// Returns whether the run of reads goes on with at least a byte.
fn reads_on(operations: &[Operation<'_>]) -> bool {
    let reads = operations.iter().map_while(|operation| match operation {
        Operation::Read(bytes) => Some(bytes.len()),
        Operation::Write(_) => None,
    });
    reads.sum::<usize>() > 0
}

impl<R, D> i2c::ErrorType for SunxiI2c<R, D> {
    type Error = I2cError;
}

impl<R: TwiRegisters, D: DelayNs> I2c for SunxiI2c<R, D> {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), I2cError> {
        if address > 0x7f {
            return Err(I2cError::Address(address));
        }
        if operations.is_empty() {
            return Ok(());
        }
        let done = self.perform(address, operations);
        let stops = matches!(done, Ok(()) | Err(I2cError::NoAcknowledge(_)));
        let stopped = if stops { self.stop() } else { Ok(()) };
        if !stops || stopped.is_err() {
            // Whoever has the bus: this controller lets it go. Should that fail, so will the next transaction.
            let _ = self.reset();
        }
        done.and(stopped)
    }
}

/// Returns the Clock register for the fastest bus up to [`SPEED_HZ`]: what it is divided by is 2^N (M + 1) 10. The lower
/// N is, the more often the lines are sampled.
fn divider(bus_clock_hz: u32) -> Option<u32> {
    let fits = |n: u32, m: u32| {
        let divided_by = (10 * (m + 1)) << n;
        (bus_clock_hz.div_ceil(divided_by) <= SPEED_HZ).then_some((divided_by, n, m))
    };
    let all = (0..8).flat_map(|n| (0..16).map(move |m| (n, m)));
    let (divided_by, n, m) = all.filter_map(|(n, m)| fits(n, m)).min()?;
    // Much slower than it is meant is as wrong as too fast.
    (bus_clock_hz / divided_by >= SPEED_HZ / 2).then_some(m << 3 | n)
}
