//! The port controllers, and the LEDs at their pins, by the names of the device tree.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{cell::RefCell, ptr::NonNull};
use critical_section::Mutex;
use embedded_hal::digital::{OutputPin, PinState};
use landfall::Led;
use landfall_arch::boot_log;
use landfall_device_tree::{Device, DeviceTree};
use landfall_drivers::sunxi_pio::{self, Output, PinNumber, Pio, Pull};
use safe_mmio::UniqueMmioPointer;

/// The controllers of the ports from PA on.
const FIRST: [&str; 3] = [
    "allwinner,sun4i-a10-pinctrl",
    "allwinner,sun7i-a20-pinctrl",
    "allwinner,sun8i-h3-pinctrl",
];
/// That of the ports from PL on, which has as many registers as it has ports.
const SECOND: [&str; 1] = ["allwinner,sun8i-h3-r-pinctrl"];

/// The controllers that were found, which stay for good.
#[derive(Default)]
pub(crate) struct Gpio {
    /// That of PA and so on.
    pub(crate) first: Option<&'static Pio<'static>>,
    /// All by the numbers by which other nodes name them.
    all: Vec<(u32, &'static Pio<'static>)>,
}

/// The LED that is lit while the app is up, and the level at which it is dark.
type Lit = Option<(Output<'static, 'static>, PinState)>;
static LIT: Mutex<RefCell<Lit>> = Mutex::new(RefCell::new(None));

/// Returns whether a device is one of the controllers.
pub(crate) fn is_controller(device: &Device<'_>) -> bool {
    device.is_compatible(&FIRST) || device.is_compatible(&SECOND)
}

/// Finds the controllers.
pub(crate) fn init(tree: &DeviceTree<'_>) -> Gpio {
    let mut gpio = Gpio::default();
    // A tree that ends before its end was looked at before.
    let _ = tree.for_each_device(|device| gpio.add(&device));
    gpio
}

impl Gpio {
    fn add(&mut self, device: &Device<'_>) {
        if !is_controller(device) {
            return;
        }
        let found = device.registers(0);
        let size = size_of::<sunxi_pio::Registers>() as u64;
        let found = found.filter(|it| it.end - it.start >= size);
        let registers = found.and_then(|it| NonNull::new(it.start as *mut _));
        let (Some(registers), Some(phandle)) = (registers, device.phandle()) else {
            return boot_log!("a port controller without registers or number; not used");
        };
        // SAFETY: The device tree says that such registers are here; `memory` mapped them, and nothing else on this board
        // has their address.
        let registers = unsafe { UniqueMmioPointer::new(registers) };
        let pio: &_ = Box::leak(Box::new(Pio::new(registers)));
        if device.is_compatible(&FIRST) {
            self.first = Some(pio);
        }
        self.all.push((phandle, pio));
    }

    /// Connects an A20's pins for Ethernet to its EMAC (A20 User Manual 1.4, "Multiplexing Pin": PA0 to PA16).
    pub(crate) fn connect_emac(&self) {
        /// The column of the table.
        const EMAC: u8 = 2;
        let Some(pio) = self.first else {
            return boot_log!("there is no port controller; the pins are as they were");
        };
        let pins = (0..=16).map(|pin| PinNumber { port: 0, pin });
        let connected = pins
            .into_iter()
            .try_for_each(|pin| pio.connect(pin, EMAC, Pull::None));
        if let Err(error) = connected {
            boot_log!("the pins for Ethernet: {error}; they are as they were");
        }
    }

    /// Makes outputs of the LEDs' pins, dark where the device tree does not say otherwise; lights that which says that
    /// the app is up.
    pub(crate) fn leds(&self, tree: &DeviceTree<'_>) -> Vec<Led> {
        let mut found = Vec::new();
        let _ = tree.for_each_device(|device| {
            if device.is_compatible(&["gpio-leds"]) {
                device.for_each_child(|child| found.extend(self.led(&child)));
            }
        });
        // The first that is for the software's state, or else the first that is dark.
        let chosen = found.iter().position(|led| led.is_status);
        let chosen = chosen.or_else(|| found.iter().position(|led| !led.is_on));
        if let Some(led) = chosen.and_then(|number| found.get_mut(number)) {
            let Ok(()) = led.pin.set_state(led.lit);
            let lit = Some((led.pin.clone(), !led.lit));
            critical_section::with(|cs| LIT.replace(cs, lit));
            boot_log!("LED {} is lit while the app is up", led.name);
        }
        let led = |it: Described| Led::new(it.name, it.pin, it.lit);
        found.into_iter().map(led).collect()
    }

    /// Reads a LED's node (Linux Documentation/devicetree/bindings/leds/leds-gpio.yaml, common.yaml); its pin is that of
    /// the first of `gpios`: controller, port, pin, flags (allwinner,sun4i-a10-pinctrl.yaml).
    fn led(&self, node: &Device<'_>) -> Option<Described> {
        let named = |name: &str| text(node.property(name)?);
        let name = named("label").or_else(|| named("function"));
        let name = name.unwrap_or(node.name);
        let mut cells = node.cells("gpios");
        let mut next = || cells.next();
        let (Some(phandle), Some(port), Some(pin), Some(flags)) = (next(), next(), next(), next())
        else {
            boot_log!("LED {name} has no pin in the device tree; not used");
            return None;
        };
        let pio = self.all.iter().find(|(number, _)| *number == phandle);
        let Some((_, pio)) = pio else {
            boot_log!("LED {name} is not at a port controller that is known here; not used");
            return None;
        };
        let is_on = named("default-state") == Some("on");
        let lit = PinState::from(flags & ACTIVE_LOW == 0);
        let pin = pio.output(number(port, pin), if is_on { lit } else { !lit });
        let pin = pin.map_err(|error| boot_log!("LED {name}: {error}; not used"));
        let is_status = named("linux,default-trigger") == Some("heartbeat")
            || name.rsplit(':').next() == Some("status")
            || name == "heartbeat";
        Some(Described {
            name: name.into(),
            pin: pin.ok()?,
            lit,
            is_on,
            is_status,
        })
    }
}

/// In the flags of a pin (Linux include/dt-bindings/gpio/gpio.h).
const ACTIVE_LOW: u32 = 1;

/// A LED as its node has it.
struct Described {
    name: String,
    pin: Output<'static, 'static>,
    lit: PinState,
    /// It is lit for that there is power.
    is_on: bool,
    /// It is for the software's state.
    is_status: bool,
}

fn number(port: u32, pin: u32) -> PinNumber {
    // No port has as many as what a byte cannot hold.
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    PinNumber {
        port: byte(port),
        pin: byte(pin),
    }
}

fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|&it| it == 0)?;
    core::str::from_utf8(&value[..end]).ok()
}

/// The app has ended: the LED that was lit for it is not.
pub(crate) fn darken() {
    critical_section::with(|cs| {
        if let Some((mut pin, dark)) = LIT.take(cs) {
            let Ok(()) = pin.set_state(dark);
        }
    });
}
