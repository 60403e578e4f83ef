//! The port controller of Allwinner's chips, whose pins are GPIO or a controller's (H3 Datasheet 1.2, 4.22 "Port
//! Controller (CPUx-PORT)" and 4.23 "(CPUs-PORT)"; A20 User Manual 1.4, "Port Controller").
//!
//! Many pins share a register. Each access is a critical section, so that reading, changing and writing it is one on
//! the one core that there is, whoever is interrupted.

use core::{cell::RefCell, convert::Infallible, fmt};
use critical_section::Mutex;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin, PinState, StatefulOutputPin};
use safe_mmio::{UniqueMmioPointer, field, fields::ReadPureWrite};

/// Ports of a controller: PA to PI.
const PORTS: usize = 9;
/// Pins of a port.
const PINS: u8 = 32;

/// A controller's ports.
#[repr(C)]
pub struct Registers {
    ports: [Port; PORTS],
}

/// A port's registers, 0x24 bytes of them.
#[repr(C)]
struct Port {
    /// 0x00 to 0x0c: Configure, four bits a pin
    configure: [ReadPureWrite<u32>; 4],
    /// 0x10: Data, a bit a pin
    data: ReadPureWrite<u32>,
    /// 0x14, 0x18: Multi-Driving, two bits a pin, which are left as they are
    reserved_14: [u32; 2],
    /// 0x1c, 0x20: Pull, two bits a pin
    pull: [ReadPureWrite<u32>; 2],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Port>() == 0x24);
    assert!(offset_of!(Port, data) == 0x10);
    assert!(offset_of!(Port, pull) == 0x1c);
};

/// Configure: what a pin is. The other codes are its controllers.
const INPUT: u8 = 0;
const OUTPUT: u8 = 1;

/// A resistor of the chip at a pin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Pull {
    /// None.
    None = 0,
    /// Up.
    Up = 1,
    /// Down.
    Down = 2,
}

/// A pin: the number of its port within its controller, and its own within the port. The first port of the controller
/// for the CPUs is PA, that of an H3's second one PL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PinNumber {
    /// The port, from 0.
    pub port: u8,
    /// The pin, 0 to 31.
    pub pin: u8,
}

/// Why a pin cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PioError {
    /// No controller has such a pin.
    NoSuchPin(PinNumber),
    /// Something else uses it.
    Taken(PinNumber),
    /// The controller does not keep what is written to it: there is none, or it has no clock.
    NoController,
}

impl fmt::Display for PioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPin(pin) => write!(f, "there is no pin {} of port {}", pin.pin, pin.port),
            Self::Taken(pin) => write!(f, "pin {} of port {} is in use", pin.pin, pin.port),
            Self::NoController => {
                f.write_str("the port controller does not keep what is written to it")
            }
        }
    }
}

impl core::error::Error for PioError {}

/// A port controller.
pub struct Pio<'a>(Mutex<RefCell<Controller<'a>>>);

struct Controller<'a> {
    registers: UniqueMmioPointer<'a, Registers>,
    /// Pins that were given away, a bit each.
    taken: [u32; PORTS],
}

impl<'a> Pio<'a> {
    /// Takes over a controller, which must have its clock, with its pins as firmware left them.
    pub const fn new(registers: UniqueMmioPointer<'a, Registers>) -> Self {
        Self(Mutex::new(RefCell::new(Controller {
            registers,
            taken: [0; PORTS],
        })))
    }

    /// Makes a pin an output, at `level` from its beginning.
    ///
    /// # Errors
    /// [`PioError`].
    pub fn output(&self, pin: PinNumber, level: PinState) -> Result<Output<'_, 'a>, PioError> {
        self.take(pin, |controller| {
            // Before the pin is driven, so that it is not driven to the other level first.
            controller.set(pin, level.into());
            controller.configure(pin, OUTPUT)
        })?;
        let controller = &self.0;
        Ok(Output(Pin { controller, pin }))
    }

    /// Makes a pin an input.
    ///
    /// # Errors
    /// [`PioError`].
    pub fn input(&self, pin: PinNumber, pull: Pull) -> Result<Input<'_, 'a>, PioError> {
        self.take(pin, |controller| {
            controller.pull(pin, pull);
            controller.configure(pin, INPUT)
        })?;
        let controller = &self.0;
        Ok(Input(Pin { controller, pin }))
    }

    /// Gives a pin for good to the controller that has this number in the manual's table of multiplexing, 2 to 7.
    ///
    /// # Errors
    /// [`PioError`].
    pub fn connect(&self, pin: PinNumber, function: u8, pull: Pull) -> Result<(), PioError> {
        self.take(pin, |controller| {
            controller.pull(pin, pull);
            controller.configure(pin, function)
        })
    }

    fn take(
        &self,
        pin: PinNumber,
        then: impl FnOnce(&mut Controller<'a>) -> bool,
    ) -> Result<(), PioError> {
        critical_section::with(|cs| {
            let mut controller = self.0.borrow_ref_mut(cs);
            let taken = controller.taken.get_mut(usize::from(pin.port));
            let taken = taken.filter(|_| pin.pin < PINS);
            let taken = taken.ok_or(PioError::NoSuchPin(pin))?;
            if *taken & 1 << pin.pin != 0 {
                return Err(PioError::Taken(pin));
            }
            *taken |= 1 << pin.pin;
            match then(&mut controller) {
                true => Ok(()),
                false => Err(PioError::NoController),
            }
        })
    }
}

impl Controller<'_> {
    /// Returns whether the controller has kept it.
    fn configure(&mut self, pin: PinNumber, function: u8) -> bool {
        let mut kept = false;
        self.port(pin, |mut port| {
            let mut configure = field!(port, configure);
            kept = change(&mut configure, pin.pin, 4, function);
        });
        kept
    }

    fn pull(&mut self, pin: PinNumber, pull: Pull) {
        self.port(pin, |mut port| {
            let mut registers = field!(port, pull);
            change(&mut registers, pin.pin, 2, pull as u8);
        });
    }

    fn set(&mut self, pin: PinNumber, high: bool) {
        self.port(pin, |mut port| {
            let mut data = field!(port, data);
            let others = data.read() & !(1 << pin.pin);
            data.write(others | u32::from(high) << pin.pin);
        });
    }

    fn is_high(&mut self, pin: PinNumber) -> bool {
        let mut high = false;
        self.port(pin, |mut port| {
            high = field!(port, data).read() & 1 << pin.pin != 0;
        });
        high
    }

    /// Hands over the port of a pin, which has one: `take` looked.
    fn port(&mut self, pin: PinNumber, then: impl FnOnce(UniqueMmioPointer<'_, Port>)) {
        let mut ports = field!(self.registers, ports);
        if let Some(port) = ports.get(usize::from(pin.port)) {
            then(port);
        }
    }
}

/// Writes the bits of one pin, of which a row of registers has so many for each; returns whether they are kept.
fn change<const N: usize>(
    registers: &mut UniqueMmioPointer<'_, [ReadPureWrite<u32>; N]>,
    pin: u8,
    bits: u8,
    value: u8,
) -> bool {
    let in_each = 32 / bits;
    let shift = pin % in_each * bits;
    let Some(mut register) = registers.get(usize::from(pin / in_each)) else {
        return false;
    };
    let others = register.read() & !(((1 << bits) - 1) << shift);
    let wanted = others | u32::from(value) << shift;
    register.write(wanted);
    register.read() == wanted
}

/// A pin that was given away. Clones are handles of the same.
#[derive(Clone)]
struct Pin<'p, 'a> {
    controller: &'p Mutex<RefCell<Controller<'a>>>,
    pin: PinNumber,
}

impl Pin<'_, '_> {
    fn set(&mut self, high: bool) {
        critical_section::with(|cs| self.controller.borrow_ref_mut(cs).set(self.pin, high));
    }

    fn is_high(&self) -> bool {
        critical_section::with(|cs| self.controller.borrow_ref_mut(cs).is_high(self.pin))
    }
}

/// An output. Clones are handles of the same.
#[derive(Clone)]
pub struct Output<'p, 'a>(Pin<'p, 'a>);

impl ErrorType for Output<'_, '_> {
    type Error = Infallible;
}

impl OutputPin for Output<'_, '_> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

impl StatefulOutputPin for Output<'_, '_> {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.is_high())
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.is_high())
    }
}

/// An input.
pub struct Input<'p, 'a>(Pin<'p, 'a>);

impl ErrorType for Input<'_, '_> {
    type Error = Infallible;
}

impl InputPin for Input<'_, '_> {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.is_high())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.is_high())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ports with each pin switched off, as after a reset (4.22.2).
    fn registers() -> Registers {
        Registers {
            ports: core::array::from_fn(|_| Port {
                configure: [0x7777_7777; 4].map(ReadPureWrite),
                data: ReadPureWrite(0),
                reserved_14: [0x5555_5555; 2],
                pull: [0; 2].map(ReadPureWrite),
            }),
        }
    }

    const fn pin(port: u8, pin: u8) -> PinNumber {
        PinNumber { port, pin }
    }

    #[test]
    fn an_output_leaves_the_others_alone() {
        let mut registers = registers();
        registers.ports[0].data = ReadPureWrite(0xffff_0000);
        let pio = Pio::new(UniqueMmioPointer::from(&mut registers));
        let mut status = pio.output(pin(0, 15), PinState::High).expect("it is free");
        let mut other = pio.output(pin(0, 16), PinState::High).expect("it is free");
        let Ok(()) = other.set_low();
        assert_eq!(
            (status.is_set_high(), other.is_set_low()),
            (Ok(true), Ok(true))
        );
        let Ok(()) = other.toggle();
        assert_eq!(other.is_set_high(), Ok(true));
        let Ok(()) = status.set_low();
        assert_eq!(status.is_set_low(), Ok(true));
        let port = &registers.ports[0];
        let configure = port.configure.each_ref().map(|it| it.0);
        assert_eq!(
            configure,
            [0x7777_7777, 0x1777_7777, 0x7777_7771, 0x7777_7777]
        );
        assert_eq!(port.data.0, 0xffff_0000);
        assert_eq!(port.reserved_14, [0x5555_5555; 2]);
        assert_eq!(registers.ports[1].configure[0].0, 0x7777_7777);
    }

    #[test]
    fn an_input_sees_the_level_and_has_its_pull() {
        let mut registers = registers();
        registers.ports[8].data = ReadPureWrite(1 << 31);
        let pio = Pio::new(UniqueMmioPointer::from(&mut registers));
        let mut last = pio.input(pin(8, 31), Pull::Up).expect("it is free");
        let mut first = pio.input(pin(8, 0), Pull::Down).expect("it is free");
        assert_eq!((last.is_high(), first.is_high()), (Ok(true), Ok(false)));
        assert_eq!((last.is_low(), first.is_low()), (Ok(false), Ok(true)));
        let port = &registers.ports[8];
        assert_eq!(port.configure[3].0, 0x0777_7777);
        assert_eq!(port.configure[0].0, 0x7777_7770);
        assert_eq!(port.pull.each_ref().map(|it| it.0), [0b10, 0b01 << 30]);
    }

    #[test]
    fn a_pin_is_given_away_once_and_only_if_there_is_one() {
        let mut registers = registers();
        let pio = Pio::new(UniqueMmioPointer::from(&mut registers));
        assert_eq!(pio.connect(pin(0, 11), 2, Pull::Up), Ok(()));
        for again in [
            pio.connect(pin(0, 11), 3, Pull::None).err(),
            pio.output(pin(0, 11), PinState::Low).err(),
            pio.input(pin(0, 11), Pull::None).err(),
        ] {
            assert_eq!(again, Some(PioError::Taken(pin(0, 11))));
        }
        for missing in [pin(9, 0), pin(0, 32), pin(255, 255)] {
            let refused = pio.output(missing, PinState::Low).err();
            assert_eq!(refused, Some(PioError::NoSuchPin(missing)));
        }
        assert_eq!(registers.ports[0].configure[1].0, 0x7777_2777);
        assert_eq!(registers.ports[0].pull[0].0, 0b01 << 22);
    }
}
