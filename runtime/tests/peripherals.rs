//! What apps get of I2C buses and LEDs, and what they are told where there are none.

#![forbid(unsafe_code)]

mod support;

use embedded_hal::{
    digital::{self, OutputPin, PinState, StatefulOutputPin},
    i2c::{self, ErrorKind, I2c, NoAcknowledgeSource, Operation},
};
use landfall::{I2cBus, Led, NoPeripheral, Peripherals};
use std::{cell::Cell, convert::Infallible, rc::Rc};
use support::Scenario;

/// A bus with a device at address 7 that answers with what it was told last.
#[derive(Default)]
struct Controller(u8);

#[derive(Debug)]
struct Nobody;

impl i2c::Error for Nobody {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

impl i2c::ErrorType for Controller {
    type Error = Nobody;
}

impl I2c for Controller {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Nobody> {
        if address != 7 {
            return Err(Nobody);
        }
        for operation in operations {
            match operation {
                Operation::Write(bytes) => self.0 = bytes.last().copied().unwrap_or(self.0),
                Operation::Read(bytes) => bytes.fill(self.0),
            }
        }
        Ok(())
    }
}

/// A pin whose level the test sees.
struct Pin(Rc<Cell<bool>>);

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

impl StatefulOutputPin for Pin {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.get())
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.get())
    }
}

#[test]
fn handles_are_of_one_bus() {
    let scenario = Scenario {
        peripherals: Peripherals {
            i2c: vec![(2, I2cBus::new(Controller::default()))],
            ..Peripherals::default()
        },
        ..Scenario::default()
    };
    let ended = scenario.run(async |system| {
        let (mut one, mut other) = (system.i2c(2)?, system.i2c(2)?);
        let mut bytes = [0; 2];
        one.write(7, &[1, 2]).expect("it answers");
        other.read(7, &mut bytes).expect("it answers");
        assert_eq!(bytes, [2, 2]);
        let refused = one.write(8, &[]).expect_err("nobody is there");
        assert_eq!(
            refused,
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
        );
        system.i2c(0).map(drop)
    });
    ended.says("board test has no I2C bus 0 here; it has: 2");
}

#[test]
fn a_led_is_lit_however_it_is_wired() {
    let levels = [Rc::new(Cell::new(false)), Rc::new(Cell::new(true))];
    let led = |name: &str, index: usize, lit| Led::new(name, Pin(Rc::clone(&levels[index])), lit);
    let leds = vec![
        led("red", 0, PinState::High),
        led("green", 1, PinState::Low),
    ];
    let scenario = Scenario {
        peripherals: Peripherals {
            leds,
            ..Peripherals::default()
        },
        ..Scenario::default()
    };
    let ended = scenario.run(async move |system| {
        for (name, level) in ["red", "green"].into_iter().zip(levels) {
            let dark = level.get();
            let mut led = system.led(name)?;
            assert!(led.is_set_low().unwrap_or_default(), "{name}");
            let Ok(()) = led.set_high();
            assert_eq!(level.get(), !dark, "{name}");
            assert!(led.is_set_high().unwrap_or_default(), "{name}");
            let Ok(()) = led.clone().toggle();
            assert_eq!(level.get(), dark, "{name}");
        }
        system.led("blue").map(drop)
    });
    ended.says("board test has no LED blue here; it has: red, green");
}

#[test]
fn a_machine_tells_how_warm_it_is() {
    let scenario = Scenario {
        peripherals: Peripherals {
            thermometer: Some(|| Ok(41_500)),
            ..Peripherals::default()
        },
        ..Scenario::default()
    };
    let ended = scenario.run(async |system| {
        assert_eq!(system.thermometer()?(), Ok(41_500));
        system.i2c(0).map(drop)
    });
    ended.says("board test has no I2C bus 0");
}

#[test]
fn a_board_without_says_so() {
    let ended = Scenario::default().run(async |system| {
        let missing = system.led("red").map(drop);
        let known = "none".into();
        let (board, name) = ("test", "red".into());
        assert_eq!(missing, Err(NoPeripheral::Led { board, name, known }));
        let missing = system.thermometer().map(drop);
        assert_eq!(missing, Err(NoPeripheral::Thermometer { board }));
        system.i2c(0).map(drop)
    });
    ended.says("board test has no I2C bus 0 here; it has: none");
}
