//! The driver on a model of the controller, which says status codes as the manual has them, with devices behind it.

use super::*;
use crate::axp209::{Axp209, Axp209Error, Supply};
use lm75::Lm75;
use std::{cell::RefCell, rc::Rc, string::String, vec, vec::Vec};

const LM75: u8 = 0x48;
const AXP209: u8 = 0x34;

/// A device with registers of some bytes each, at which the first byte of a write points.
struct Device {
    address: u8,
    width: usize,
    bytes: Vec<u8>,
    pointer: Option<usize>,
    /// Refuses all but the first so many bytes of a write.
    takes: usize,
}

impl Device {
    fn new(address: u8, width: usize, registers: &[(u8, &[u8])]) -> Self {
        let mut bytes = vec![0; 256 * width];
        for (register, value) in registers {
            let at = usize::from(*register) * width;
            bytes[at..at + value.len()].copy_from_slice(value);
        }
        Self {
            address,
            width,
            bytes,
            pointer: None,
            takes: usize::MAX,
        }
    }

    fn write(&mut self, byte: u8, number: usize) -> bool {
        if number >= self.takes {
            return false;
        }
        match (number, self.pointer) {
            (0, _) => self.pointer = Some(usize::from(byte) * self.width),
            (_, Some(at)) => {
                self.bytes[at] = byte;
                self.pointer = Some(at + 1);
            }
            (_, None) => return false,
        }
        true
    }

    fn read(&mut self, number: usize) -> u8 {
        self.bytes[self.pointer.unwrap_or(0) + number]
    }
}

/// What the bus is in the middle of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Idle,
    /// START was sent; the address is next.
    Address,
    /// Bytes go to the device with this index, or come from it; so many did.
    Writing(usize, usize),
    Reading(usize, usize),
    /// Nothing but START or STOP makes sense.
    Over,
}

/// What is wrong with the hardware.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    /// Nothing is there: reads are 0.
    Absent,
    /// A line is held low: steps never end.
    Stuck,
    /// The status of each step after START.
    Says(u8),
    /// STOP is never done.
    StopStays,
}

struct Model {
    generation: Generation,
    fault: Fault,
    devices: Vec<Device>,
    phase: Phase,
    data: u8,
    control: u32,
    status: u8,
    clock: u32,
    /// What was on the bus: S, R(epeated), P, bytes with + or - for the acknowledge.
    seen: String,
    resets: u32,
    waited_ns: u64,
}

/// A handle of a model for the driver, and one as its clock.
#[derive(Clone)]
struct Shared(Rc<RefCell<Model>>);

impl TwiRegisters for Shared {
    fn read(&mut self, register: Register) -> u32 {
        let model = self.0.borrow();
        match (model.fault, register) {
            (Fault::Absent, _) | (_, Register::SoftReset) => 0,
            (_, Register::Data) => model.data.into(),
            (_, Register::Control) => model.control,
            (_, Register::Status) => model.status.into(),
            (_, Register::Clock) => model.clock,
        }
    }

    fn write(&mut self, register: Register, value: u32) {
        let mut model = self.0.borrow_mut();
        match register {
            _ if model.fault == Fault::Absent => {}
            Register::Data => model.data = value as u8,
            Register::Control => model.be_told(value),
            Register::Clock => model.clock = value,
            Register::SoftReset => {
                model.resets += 1;
                model.control = 0;
                model.status = 0xf8;
                model.phase = Phase::Idle;
            }
            Register::Status => panic!("the status is read-only"),
        }
    }
}

impl DelayNs for Shared {
    fn delay_ns(&mut self, ns: u32) {
        self.0.borrow_mut().waited_ns += u64::from(ns);
    }
}

impl Model {
    fn be_told(&mut self, value: u32) {
        let flag = self.control & control::INTERRUPT_FLAG;
        let clears = match self.generation {
            Generation::Sun4i => value & control::INTERRUPT_FLAG == 0,
            Generation::Sun6i => value & control::INTERRUPT_FLAG != 0,
        };
        let flag = if clears { 0 } else { flag };
        self.control = value & !control::INTERRUPT_FLAG | flag;
        if value & control::BUS_ENABLE == 0 || flag != 0 || self.fault == Fault::Stuck {
            return;
        }
        if value & control::STOP != 0 {
            self.seen += "P ";
            self.phase = Phase::Idle;
            self.status = 0xf8;
            if self.fault != Fault::StopStays {
                self.control &= !control::STOP;
            }
        } else if value & control::START != 0 {
            self.control &= !control::START;
            let again = self.phase != Phase::Idle;
            self.seen += if again { "R " } else { "S " };
            self.phase = Phase::Address;
            self.done(if again { 0x10 } else { 0x08 });
        } else if self.phase != Phase::Idle {
            let status = self.step(value & control::ACKNOWLEDGE != 0);
            self.done(status);
        }
    }

    fn done(&mut self, status: u8) {
        self.status = status;
        self.control |= control::INTERRUPT_FLAG;
    }

    fn note(&mut self, byte: u8, acknowledged: bool) {
        let sign = if acknowledged { '+' } else { '-' };
        self.seen += &std::format!("{byte:02x}{sign} ");
    }

    fn step(&mut self, acknowledge: bool) -> u8 {
        if let Fault::Says(status) = self.fault {
            return status;
        }
        match self.phase {
            Phase::Idle | Phase::Over => panic!("a byte after the end"),
            Phase::Address => {
                let (address, reads) = (self.data >> 1, self.data & 1 != 0);
                let found = self.devices.iter().position(|it| it.address == address);
                self.note(self.data, found.is_some());
                self.phase = match (found, reads) {
                    (None, _) => Phase::Over,
                    (Some(index), false) => Phase::Writing(index, 0),
                    (Some(index), true) => Phase::Reading(index, 0),
                };
                [[0x20, 0x18], [0x48, 0x40]][usize::from(reads)][usize::from(found.is_some())]
            }
            Phase::Writing(index, number) => {
                let taken = self.devices[index].write(self.data, number);
                self.note(self.data, taken);
                self.phase = if taken {
                    Phase::Writing(index, number + 1)
                } else {
                    Phase::Over
                };
                if taken { 0x28 } else { 0x30 }
            }
            Phase::Reading(index, number) => {
                self.data = self.devices[index].read(number);
                self.note(self.data, acknowledge);
                self.phase = if acknowledge {
                    Phase::Reading(index, number + 1)
                } else {
                    Phase::Over
                };
                if acknowledge { 0x50 } else { 0x58 }
            }
        }
    }
}

const GENERATIONS: [Generation; 2] = [Generation::Sun4i, Generation::Sun6i];

/// A model with a thermometer at 21.5 degrees and a power management chip.
fn model(generation: Generation) -> Shared {
    let axp209 = [
        (0x00, &[0xa0][..]),
        (0x03, &[0x41]),
        (0x32, &[0x46]),
        // 0xb7d, 0xb72 and 0x737 steps; four bits of each second register are nobody's.
        (0x56, &[0xb7, 0xfd]),
        (0x5a, &[0xb7, 0x02]),
        (0x5e, &[0x73, 0xf7]),
        (0x82, &[0x83]),
        (0x83, &[0x00]),
    ];
    Shared(Rc::new(RefCell::new(Model {
        generation,
        fault: Fault::None,
        devices: vec![
            Device::new(LM75, 2, &[(0, &[0x15, 0x80]), (3, &[0x50, 0])]),
            Device::new(AXP209, 1, &axp209),
        ],
        phase: Phase::Idle,
        data: 0,
        control: 0,
        status: 0xf8,
        clock: 0,
        seen: String::new(),
        resets: 0,
        waited_ns: 0,
    })))
}

fn driver(model: &Shared) -> SunxiI2c<Shared, Shared> {
    let generation = model.0.borrow().generation;
    SunxiI2c::new(model.clone(), model.clone(), generation, 24_000_000).expect("it is there")
}

/// What was on the bus since the last time.
fn seen(model: &Shared) -> String {
    std::mem::take(&mut model.0.borrow_mut().seen)
        .trim_end()
        .into()
}

#[test]
fn bytes_go_and_come_as_the_specification_has_it() {
    for generation in GENERATIONS {
        let model = model(generation);
        let mut bus = driver(&model);
        let mut two = [0; 2];
        bus.write(LM75, &[3, 0x20, 0x80]).expect("it answers");
        assert_eq!(seen(&model), "S 90+ 03+ 20+ 80+ P");
        bus.read(LM75, &mut two[..1]).expect("it answers");
        bus.write_read(LM75, &[3], &mut two).expect("it answers");
        assert_eq!(two, [0x20, 0x80]);
        assert_eq!(seen(&model), "S 91+ 00- P S 90+ 03+ R 91+ 20+ 80- P");
        assert_eq!(model.0.borrow().resets, 1, "only at the beginning");
    }
}

#[test]
fn operations_of_one_kind_are_one_run() {
    let model = model(Generation::Sun6i);
    let mut bus = driver(&model);
    let (mut one, mut other, mut none) = ([0; 1], [0; 1], [0; 0]);
    let mut operations = [
        Operation::Write(&[3]),
        Operation::Write(&[]),
        Operation::Write(&[0x11, 0x22]),
    ];
    bus.transaction(LM75, &mut operations).expect("it answers");
    assert_eq!(seen(&model), "S 90+ 03+ 11+ 22+ P");
    let mut operations = [
        Operation::Write(&[3]),
        Operation::Read(&mut one),
        Operation::Read(&mut other),
        Operation::Read(&mut none),
    ];
    bus.transaction(LM75, &mut operations).expect("it answers");
    assert_eq!((one, other), ([0x11], [0x22]));
    assert_eq!(seen(&model), "S 90+ 03+ R 91+ 11+ 22- P");
    bus.transaction(LM75, &mut []).expect("nothing to do");
    assert_eq!(seen(&model), "");
    // Who is there: an address alone, or the shortest read that there is.
    bus.write(LM75, &[]).expect("it answers");
    bus.read(LM75, &mut []).expect("it answers");
    assert_eq!(seen(&model), "S 90+ P S 91+ 11- P");
}

#[test]
fn who_does_not_acknowledge_is_told_apart() {
    for generation in GENERATIONS {
        let model = model(generation);
        model.0.borrow_mut().devices[0].takes = 1;
        let mut bus = driver(&model);
        let address = I2cError::NoAcknowledge(NoAcknowledgeSource::Address);
        assert_eq!(bus.write(0x50, &[1]), Err(address));
        assert_eq!(bus.read(0x50, &mut [0; 2]), Err(address));
        let data = I2cError::NoAcknowledge(NoAcknowledgeSource::Data);
        assert_eq!(bus.write(LM75, &[1, 2, 3]), Err(data));
        assert_eq!(seen(&model), "S a0- P S a1- P S 90+ 01+ 02- P");
        assert_eq!(bus.write(0x80, &[1]), Err(I2cError::Address(0x80)));
        // After each of them the bus works.
        bus.write(LM75, &[0]).expect("it answers");
        assert_eq!(model.0.borrow().resets, 1);
    }
}

#[test]
fn what_the_bus_says_becomes_an_error_and_it_goes_on() {
    use i2c::Error as _;
    for (status, error, kind) in [
        (0x38, I2cError::ArbitrationLoss, ErrorKind::ArbitrationLoss),
        (0x00, I2cError::Bus, ErrorKind::Bus),
        (0xf8, I2cError::Unexpected(0xf8), ErrorKind::Other),
        (0x58, I2cError::Unexpected(0x58), ErrorKind::Other),
    ] {
        let model = model(Generation::Sun6i);
        let mut bus = driver(&model);
        model.0.borrow_mut().fault = Fault::Says(status);
        assert_eq!(bus.write(LM75, &[0]), Err(error));
        assert_eq!(error.kind(), kind);
        assert_eq!(model.0.borrow().resets, 2, "it lets the bus go");
        model.0.borrow_mut().fault = Fault::None;
        bus.write(LM75, &[0]).expect("it answers again");
    }
}

#[test]
fn nothing_hangs() {
    for (fault, error) in [
        (Fault::Stuck, Err(I2cError::Timeout)),
        (Fault::StopStays, Err(I2cError::Timeout)),
    ] {
        let model = model(Generation::Sun4i);
        let mut bus = driver(&model);
        model.0.borrow_mut().fault = fault;
        assert_eq!(bus.write(LM75, &[0]), error, "{fault:?}");
        let waited_us = model.0.borrow().waited_ns / 1000;
        let patience = u64::from(PATIENCE_US);
        assert!((patience..2 * patience).contains(&waited_us), "{waited_us}");
        model.0.borrow_mut().fault = Fault::None;
        bus.write(LM75, &[0]).expect("it answers again");
    }
    // What an emulator without such a controller has.
    let model = model(Generation::Sun6i);
    let mut bus = driver(&model);
    model.0.borrow_mut().fault = Fault::Absent;
    assert!(bus.write(LM75, &[0]).is_err());
    assert!(model.0.borrow().waited_ns < 2_000_000 * u64::from(PATIENCE_US));
    let none = SunxiI2c::new(model.clone(), model.clone(), Generation::Sun6i, 24_000_000);
    assert_eq!(none.err(), Some(I2cError::NoController));
}

#[test]
fn the_bus_clock_is_divided_to_what_is_allowed() {
    // 24 MHz by 2 and 12 and 10.
    assert_eq!(divider(24_000_000), Some(11 << 3 | 1));
    let hz = |bus: u32| {
        let (m, n) = divider(bus).map(|it| (it >> 3, it & 0b111))?;
        Some(bus / ((10 * (m + 1)) << n))
    };
    for bus in [
        1_000_000,
        1_500_000,
        2_000_000,
        6_000_000,
        24_000_000,
        50_000_000,
        200_000_000,
    ] {
        let hz = hz(bus).expect("it can be divided");
        assert!((50_000..=SPEED_HZ).contains(&hz), "{bus}: {hz}");
    }
    for bus in [0, 1, 32_768, 400_000, u32::MAX] {
        assert_eq!(divider(bus), None, "{bus}");
    }
}

#[test]
fn an_lm75_is_read_by_its_own_driver() {
    for generation in GENERATIONS {
        let model = model(generation);
        let mut sensor = Lm75::new(driver(&model), LM75);
        assert_eq!(sensor.read_temperature().expect("it answers"), 21.5);
        model.0.borrow_mut().devices[0].bytes[0] = 0xf6;
        assert_eq!(sensor.read_temperature().expect("it answers"), -9.5);
    }
}

#[test]
fn an_axp209_is_read_and_turns_off() {
    let model = model(Generation::Sun4i);
    let register = |register: usize| model.0.borrow().devices[1].bytes[register];
    let mut chip = Axp209::new(driver(&model), AXP209).expect("it is one");
    // What is measured already stays so.
    assert_eq!((register(0x82), register(0x83)), (0xab, 0x80));
    assert_eq!(chip.temperature_millicelsius(), Ok(40_000));
    let power = |value: u8| model.0.borrow_mut().devices[1].bytes[0] = value;
    assert_eq!(chip.supply(), Ok((Supply::Acin, 4_999)));
    power(0x20);
    assert_eq!(chip.supply(), Ok((Supply::Vbus, 4_981)));
    power(0x00);
    assert_eq!(chip.supply(), Ok((Supply::Other, 0)));
    assert_eq!(chip.turn_off(), Ok(()));
    assert_eq!(register(0x32), 0xc6, "and no other bit is changed");
}

#[test]
fn another_chip_is_no_axp209() {
    let model = model(Generation::Sun4i);
    model.0.borrow_mut().devices[1].bytes[3] = 0x02;
    let refused = Axp209::new(driver(&model), AXP209).err();
    assert_eq!(refused, Some(Axp209Error::Version(0x02)));
    assert_eq!(
        model.0.borrow().devices[1].bytes[0x82],
        0x83,
        "it is left alone"
    );
    let nobody = Axp209::new(driver(&model), 0x35).err();
    let silent = I2cError::NoAcknowledge(NoAcknowledgeSource::Address);
    assert_eq!(nobody, Some(Axp209Error::Bus(silent)));
}
