//! The power management chip, where the board has one that is known here: the AXP209 of boards with an A10 or A20. It
//! turns the board off.

use crate::i2c::Bus;
use alloc::{boxed::Box, vec::Vec};
use core::{cell::RefCell, fmt};
use critical_section::Mutex;
use embassy_time::Timer;
use embedded_hal::{
    delay::DelayNs,
    i2c::{ErrorKind, I2c},
};
use landfall::{BoardTask, Thermometer, log::info, log::warn};
use landfall_arch::boot_log;
use landfall_bare_metal::time::Delay;
use landfall_device_tree::Device;
use landfall_drivers::axp209::{Axp209, FIRST_MEASURED_MS};

static CHIP: Mutex<RefCell<Option<Axp209<Bus>>>> = Mutex::new(RefCell::new(None));

/// Takes over a device on an I2C bus, if it is such a chip.
pub(crate) fn find(device: &Device<'_>, bus: Bus) {
    if !device.is_compatible(&["x-powers,axp209"]) {
        return;
    }
    let address = device.cells("reg").next();
    let Some(address) = address.and_then(|it| u8::try_from(it).ok()) else {
        return boot_log!("the AXP209 has no address in the device tree; not used");
    };
    match Axp209::new(bus, address) {
        Ok(chip) => {
            boot_log!("AXP209 at {address:#x}: it can turn the board off");
            critical_section::with(|cs| CHIP.replace(cs, Some(chip)));
        }
        Err(error) => boot_log!("AXP209 at {address:#x}: {error}; not used"),
    }
}

/// Returns the task that says once how the chip is doing, when it has measured that.
pub(crate) fn tasks() -> Vec<BoardTask> {
    let task = |_| -> BoardTask { Box::pin(tell()) };
    thermometer().map(task).into_iter().collect()
}

/// Returns what tells how warm the chip is, where there is one.
pub(crate) fn thermometer() -> Option<Thermometer> {
    let there = critical_section::with(|cs| CHIP.borrow_ref(cs).is_some());
    there.then_some(|| with(Axp209::temperature_millicelsius).unwrap_or(Err(ErrorKind::Other)))
}

async fn tell() {
    Timer::after_millis(FIRST_MEASURED_MS).await;
    match with(state) {
        Some(Ok(state)) => info!(target: "pmic", "AXP209: {state}"),
        Some(Err(error)) => warn!(target: "pmic", "AXP209: {error}"),
        None => {}
    }
}

/// What it has measured: the temperature in thousandths of a degree, who supplies it, and by how many millivolts.
struct State(i32, landfall_drivers::axp209::Supply, u32);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(temperature, supply, millivolts) = self;
        let degrees = temperature / 1000;
        write!(f, "{degrees} °C, {millivolts} mV at {supply}")
    }
}

fn state<B: I2c>(chip: &mut Axp209<B>) -> Result<State, B::Error> {
    let (supply, millivolts) = chip.supply()?;
    Ok(State(chip.temperature_millicelsius()?, supply, millivolts))
}

fn with<T>(
    action: impl FnOnce(&mut Axp209<Bus>) -> Result<T, ErrorKind>,
) -> Option<Result<T, ErrorKind>> {
    critical_section::with(|cs| {
        // In use only when a crash interrupts it.
        let mut chip = CHIP.borrow(cs).try_borrow_mut().ok()?;
        chip.as_mut().map(action)
    })
}

/// Turns the board off, where it can; returns when that did not happen.
pub(crate) fn turn_off() {
    /// Much more than the chip takes.
    const PATIENCE_MS: u32 = 500;
    let turned = with(|chip| {
        boot_log!("turning the board off");
        chip.turn_off()
    });
    match turned {
        None => {}
        Some(Ok(())) => Delay.delay_ms(PATIENCE_MS),
        Some(Err(error)) => boot_log!("the AXP209 does not turn it off: {error}"),
    }
}
