//! What apps and the board itself get of pins (`gpio`), I2C buses (`i2c`) and the power management chip (`pmic`).

use crate::{
    gpio::{self, Gpio},
    i2c, pmic, power,
};
use alloc::vec::Vec;
use landfall::{BoardTask, ExitCode, Peripherals};
use landfall_arch::boot_log;
use landfall_device_tree::{DeviceTree, Registers};

/// More than any chip has of them.
const MOST: usize = 12;

/// Returns the registers of what may be used here: to be mapped, before there is a heap.
pub(crate) fn registers(tree: &[u32]) -> impl Iterator<Item = Registers> {
    let mut found = [const { None }; MOST];
    let mut free = found.iter_mut();
    if let Ok(tree) = DeviceTree::new(tree) {
        let mut add = |device: landfall_device_tree::Device<'_>| {
            if (gpio::is_controller(&device) || i2c::is_controller(&device))
                && let Some(place) = free.next()
            {
                *place = device.registers(0);
            }
        };
        // A tree that ends before its end was looked at before.
        let _ = tree.for_each_device(&mut add);
        let _ = tree.for_each_disabled_device(&mut add);
    }
    found.into_iter().flatten()
}

/// Finds them and sets them up; returns besides what runs for them beside the app. Stops when the boot arguments ask for
/// what is none.
pub(crate) fn init(
    tree: &DeviceTree<'_>,
    gpio: &Gpio,
    arguments: &str,
) -> (Peripherals, Vec<BoardTask>) {
    let i2c = i2c::init(tree, gpio, arguments).unwrap_or_else(|error| {
        boot_log!("{error}");
        power::stop(ExitCode::Usage as u8)
    });
    let leds = gpio.leds(tree);
    let peripherals = Peripherals {
        i2c,
        leds,
        thermometer: pmic::thermometer(),
    };
    (peripherals, pmic::tasks())
}
