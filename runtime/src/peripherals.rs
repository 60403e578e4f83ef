//! What a machine has besides network, clock and console: I2C buses and LEDs, in the terms of crate `embedded-hal`,
//! so that any driver that is written for it works on any board that has the bus; and a thermometer of its own.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{cell::RefCell, convert::Infallible, fmt};
use embedded_hal::{
    digital::{self, OutputPin, PinState, StatefulOutputPin},
    i2c::{self, Error as _, I2c, Operation},
};

/// What a board found. Most boards have none: [`Default`].
#[derive(Default)]
pub struct Peripherals {
    /// I2C buses by the machine's number.
    pub i2c: Vec<(u8, I2cBus)>,
    /// LEDs, in the device tree's order.
    pub leds: Vec<Led>,
    /// Reads how warm the machine itself is.
    pub thermometer: Option<Thermometer>,
}

/// Returns a temperature in thousandths of a degree Celsius, or what is wrong with the bus by which it is asked.
pub type Thermometer = fn() -> Result<i32, i2c::ErrorKind>;

impl Peripherals {
    pub(crate) fn i2c(&self, board: &'static str, bus: u8) -> Result<I2cBus, NoPeripheral> {
        let found = self.i2c.iter().find(|(number, _)| *number == bus);
        let found = found.map(|(_, found)| found.clone());
        found.ok_or_else(|| NoPeripheral::I2c {
            board,
            bus,
            known: list(self.i2c.iter().map(|(number, _)| number)),
        })
    }

    pub(crate) fn thermometer(&self, board: &'static str) -> Result<Thermometer, NoPeripheral> {
        self.thermometer.ok_or(NoPeripheral::Thermometer { board })
    }

    pub(crate) fn led(&self, board: &'static str, name: &str) -> Result<Led, NoPeripheral> {
        let found = self.leds.iter().find(|led| led.name() == name);
        found.cloned().ok_or_else(|| NoPeripheral::Led {
            board,
            name: name.into(),
            known: list(self.leds.iter().map(Led::name)),
        })
    }
}

/// Names with commas between, or "none".
fn list(names: impl Iterator<Item = impl fmt::Display>) -> String {
    let names: Vec<_> = names.map(|name| alloc::format!("{name}")).collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

/// A peripheral that an app needs and its board does not have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoPeripheral {
    /// No I2C bus of this number.
    I2c {
        /// The board.
        board: &'static str,
        /// The number.
        bus: u8,
        /// The numbers that there are.
        known: String,
    },
    /// No LED of this name.
    Led {
        /// The board.
        board: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// No thermometer of its own.
    Thermometer {
        /// The board.
        board: &'static str,
    },
}

impl fmt::Display for NoPeripheral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I2c { board, bus, known } => {
                write!(
                    f,
                    "board {board} has no I2C bus {bus} here; it has: {known}"
                )
            }
            Self::Led { board, name, known } => {
                write!(f, "board {board} has no LED {name} here; it has: {known}")
            }
            Self::Thermometer { board } => {
                write!(f, "board {board} has no thermometer of its own here")
            }
        }
    }
}

impl core::error::Error for NoPeripheral {}

/// An I2C bus. Clones are handles of the same, each for a driver of one of its devices: a transaction of one is over
/// before another begins.
///
/// A transaction does not return before it is over: at 100 kHz a byte takes 90 µs, in which nothing else runs.
#[derive(Clone)]
pub struct I2cBus(Rc<RefCell<dyn I2c<Error = i2c::ErrorKind>>>);

impl I2cBus {
    /// Wraps a controller's driver, whose type is forgotten.
    pub fn new(controller: impl I2c + 'static) -> Self {
        Self(Rc::new(RefCell::new(Erased(controller))))
    }
}

impl i2c::ErrorType for I2cBus {
    type Error = i2c::ErrorKind;
}

impl I2c for I2cBus {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Self::Error> {
        self.0.borrow_mut().transaction(address, operations)
    }
}

/// A controller of whose errors only the kind is left.
struct Erased<T>(T);

impl<T> i2c::ErrorType for Erased<T> {
    type Error = i2c::ErrorKind;
}

impl<T: I2c> I2c for Erased<T> {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Self::Error> {
        let done = self.0.transaction(address, operations);
        done.map_err(|error| error.kind())
    }
}

/// A light: high is lit, however it is wired. Clones are handles of the same.
#[derive(Clone)]
pub struct Led(Rc<Lamp>);

struct Lamp {
    name: String,
    lit: PinState,
    pin: RefCell<Box<dyn StatefulOutputPin<Error = Infallible>>>,
}

impl Led {
    /// Wraps the pin of a LED that is lit while the pin is `lit`.
    pub fn new(
        name: impl Into<String>,
        pin: impl StatefulOutputPin<Error = Infallible> + 'static,
        lit: PinState,
    ) -> Self {
        Self(Rc::new(Lamp {
            name: name.into(),
            lit,
            pin: RefCell::new(Box::new(pin)),
        }))
    }

    /// Returns its name, such as `orangepi:red:status`.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl digital::ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.pin.borrow_mut().set_state(self.0.lit)
    }

    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.pin.borrow_mut().set_state(!self.0.lit)
    }
}

impl StatefulOutputPin for Led {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        let mut pin = self.0.pin.borrow_mut();
        match self.0.lit {
            PinState::High => pin.is_set_high(),
            PinState::Low => pin.is_set_low(),
        }
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        self.is_set_high().map(|lit| !lit)
    }
}
