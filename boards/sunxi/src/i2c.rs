//! The I2C controllers, by their numbers in the manual. The board's own use of them is `pmic`.

use crate::{gpio::Gpio, pmic};
use alloc::vec::Vec;
use core::{cell::RefCell, fmt, ptr::NonNull};
use critical_section::Mutex;
use embedded_hal::i2c::{Error as _, ErrorKind, ErrorType, I2c, Operation};
use landfall::{
    I2cBus,
    arguments::{Argument, ArgumentError, ArgumentValue, Words, argument},
};
use landfall_arch::boot_log;
use landfall_bare_metal::time::Delay;
use landfall_device_tree::{Device, DeviceTree, Registers};
use landfall_drivers::{
    sunxi_i2c::{
        self, I2cError, SPEED_HZ, SunxiI2c,
        clocks::{self, Chip},
    },
    sunxi_pio::{PioError, Pull},
};
use safe_mmio::UniqueMmioPointer;

/// Controllers that a chip has at most.
const MOST: usize = 5;
/// All of them.
const ANY: u8 = u8::MAX;

const COMPATIBLE: [&str; 2] = ["allwinner,sun4i-a10-i2c", "allwinner,sun6i-a31-i2c"];

/// The boot argument of this board.
pub(crate) const ARGUMENTS: &[Argument<'static>] = &[argument!(
    "R",
    "i2c",
    "I2cBuses",
    "those that the device tree has on",
    "I2C buses to switch on besides, by number: 0, or 0,1"
)];

/// The value of `i2c=`: a bit for each number.
#[derive(Clone, Copy, Default)]
struct Wanted(u8);

impl ArgumentValue for Wanted {
    const EXPECTED: &'static str = "numbers of I2C buses from 0 to 4, such as 0 or 0,1";

    fn read(text: &str) -> Option<Self> {
        text.split(',').try_fold(Self(0), |wanted, number| {
            let number: u8 = number.parse().ok()?;
            (usize::from(number) < MOST).then_some(Self(wanted.0 | 1 << number))
        })
    }
}

type Controller = SunxiI2c<UniqueMmioPointer<'static, sunxi_i2c::Registers>, Delay>;

/// The controllers that are set up. Here, for what stops the board uses one when nothing else is left.
static CONTROLLERS: Mutex<RefCell<[Option<Controller>; MOST]>> =
    Mutex::new(RefCell::new([const { None }; MOST]));

/// One of them, by its number.
#[derive(Clone, Copy)]
pub(crate) struct Bus(u8);

impl ErrorType for Bus {
    type Error = ErrorKind;
}

impl I2c for Bus {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), ErrorKind> {
        critical_section::with(|cs| {
            // In use only when a crash interrupts a transaction.
            let mut all = CONTROLLERS
                .borrow(cs)
                .try_borrow_mut()
                .map_err(|_| ErrorKind::Other)?;
            let controller = all.get_mut(usize::from(self.0)).and_then(Option::as_mut);
            let controller = controller.ok_or(ErrorKind::Other)?;
            let done = controller.transaction(address, operations);
            done.map_err(|error| error.kind())
        })
    }
}

/// The clock control unit.
struct Clocks {
    chip: Chip,
    phandle: u32,
    registers: Registers,
}

/// Returns the chip whose clock control unit a device is.
fn chip(device: &Device<'_>) -> Option<Chip> {
    if device.is_compatible(&["allwinner,sun8i-h3-ccu"]) {
        Some(Chip::Sun8iH3)
    } else if device.is_compatible(&["allwinner,sun4i-a10-ccu", "allwinner,sun7i-a20-ccu"]) {
        Some(Chip::Sun4i)
    } else {
        None
    }
}

/// Returns whether a device is a controller, or what gives controllers their clocks.
pub(crate) fn is_controller(device: &Device<'_>) -> bool {
    device.is_compatible(&COMPATIBLE) || chip(device).is_some()
}

/// Sets up the controllers that the device tree has on, and those that `line`, the boot arguments, asks for.
///
/// # Errors
/// [`ArgumentError`], of `i2c=`.
pub(crate) fn init(
    tree: &DeviceTree<'_>,
    gpio: &Gpio,
    line: &str,
) -> Result<Vec<(u8, I2cBus)>, ArgumentError> {
    // What is wrong with the line as a whole, the runtime says.
    let words = Words::parse(line).unwrap_or_default();
    let Wanted(wanted) = words.value("i2c")?.unwrap_or_default();
    let mut clocks = None;
    // A tree that ends before its end was looked at before.
    let _ = tree.for_each_device(|device| {
        let size = size_of::<clocks::ClockRegisters>() as u64;
        let registers = device.registers(0).filter(|it| it.end - it.start >= size);
        if let (Some(chip), Some(registers)) = (chip(&device), registers) {
            clocks = device.phandle().map(|phandle| Clocks {
                chip,
                phandle,
                registers,
            });
        }
    });
    let (mut buses, mut tried) = (Vec::new(), 0);
    let mut add = |device: Device<'_>, wanted: u8| {
        if !device.is_compatible(&COMPATIBLE) {
            return;
        }
        let Some((clocks, bus)) = identify(&device, clocks.as_ref()) else {
            if wanted == ANY {
                boot_log!("an I2C controller's clock is not known here; not used");
            }
            return;
        };
        if wanted & 1 << bus.number == 0 {
            return;
        }
        tried |= 1 << bus.number;
        match set_up(&device, clocks, bus, gpio) {
            Err(why) => boot_log!("I2C bus {}: {why}; not used", bus.number),
            Ok(()) => {
                boot_log!("I2C bus {} ready, {} kHz", bus.number, SPEED_HZ / 1000);
                let bus = Bus(bus.number);
                buses.push((bus.0, I2cBus::new(bus)));
                device.for_each_child(|child| pmic::find(&child, bus));
            }
        }
    };
    let _ = tree.for_each_device(|device| add(device, ANY));
    let _ = tree.for_each_disabled_device(|device| add(device, wanted));
    for number in (0..MOST).filter(|number| wanted & !tried & 1 << number != 0) {
        boot_log!("I2C bus {number}, which i2c= asks for: the device tree has none; not used");
    }
    Ok(buses)
}

/// Returns which of the chip's controllers a device is, by the first of its `clocks`: controller, number.
fn identify<'a>(
    device: &Device<'_>,
    clocks: Option<&'a Clocks>,
) -> Option<(&'a Clocks, clocks::Bus)> {
    let mut cells = device.cells("clocks");
    let (phandle, number) = (cells.next()?, cells.next()?);
    let clocks = clocks.filter(|it| it.phandle == phandle)?;
    Some((clocks, clocks.chip.bus(number)?))
}

/// Why a controller is not used.
enum Refused {
    NoRegisters,
    NoPortController,
    Clock(clocks::OtherSource),
    Controller(I2cError),
    Pin(PioError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegisters => f.write_str("the device tree has no registers for it"),
            Self::NoPortController => {
                f.write_str("the device tree has no port controller for its pins")
            }
            Self::Clock(error) => error.fmt(f),
            Self::Controller(error) => error.fmt(f),
            Self::Pin(error) => error.fmt(f),
        }
    }
}

/// Sets up a controller: its clock, itself, and its pins.
fn set_up(
    device: &Device<'_>,
    clocks: &Clocks,
    bus: clocks::Bus,
    gpio: &Gpio,
) -> Result<(), Refused> {
    let size = size_of::<sunxi_i2c::Registers>() as u64;
    let registers = device.registers(0).filter(|it| it.end - it.start >= size);
    let registers = registers.and_then(|it| NonNull::new(it.start as *mut _));
    let unit = NonNull::new(clocks.registers.start as *mut clocks::ClockRegisters);
    let registers = registers.ok_or(Refused::NoRegisters)?;
    let unit = unit.ok_or(Refused::NoRegisters)?;
    // SAFETY: The device tree says that such registers are here; `memory` mapped them. Nothing else on this board has the
    // address of the controller's, and who else uses the clocks' has done so before and keeps no pointer.
    let (registers, unit) = unsafe {
        (
            UniqueMmioPointer::new(registers),
            UniqueMmioPointer::new(unit),
        )
    };
    let hz = clocks.chip.enable(unit, bus).map_err(Refused::Clock)?;
    let controller = SunxiI2c::new(registers, Delay, clocks.chip.generation(), hz);
    let controller = controller.map_err(Refused::Controller)?;
    let pio = gpio.first.ok_or(Refused::NoPortController)?;
    for pin in bus.pins {
        // Boards have resistors of their own; the chip's are weak and do no harm beside them.
        let connected = pio.connect(pin, bus.function, Pull::Up);
        connected.map_err(Refused::Pin)?;
    }
    critical_section::with(|cs| {
        let mut all = CONTROLLERS.borrow_ref_mut(cs);
        if let Some(place) = all.get_mut(usize::from(bus.number)) {
            *place = Some(controller);
        }
    });
    Ok(())
}
