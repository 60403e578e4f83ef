//! The console of machines: the PL011 UART of `/chosen/stdout-path`, as the machine set it up.

use core::{cell::RefCell, ptr::NonNull};
use critical_section::Mutex;
use landfall_arch::console;
use landfall_device_tree::Device;
use landfall_drivers::pl011::Pl011;
use safe_mmio::UniqueMmioPointer;

static UART: Mutex<RefCell<Option<Pl011<'static>>>> = Mutex::new(RefCell::new(None));

/// Starts writing to `device`; returns whether it is a UART that can be driven.
pub fn init(device: &Device<'_>) -> bool {
    let Some(registers) = device
        .registers(0)
        .filter(|_| device.is_compatible(&["arm,pl011"]))
    else {
        return false;
    };
    let Some(registers) = NonNull::new(registers.start as *mut _) else {
        return false;
    };
    // SAFETY: The device tree says that a PL011's registers are here. Before the MMU is on, all
    // data accesses are device accesses; then `memory` maps them as such. Only this module has them.
    let uart = Pl011::new(unsafe { UniqueMmioPointer::new(registers) });
    critical_section::with(|cs| UART.borrow_ref_mut(cs).replace(uart));
    console::set_writer(write);
    true
}

fn write(bytes: &[u8]) {
    critical_section::with(|cs| {
        // Taken only when a crash interrupts a line: then two lines mix rather than one is lost.
        if let Ok(mut uart) = UART.borrow(cs).try_borrow_mut()
            && let Some(uart) = uart.as_mut()
        {
            uart.write(bytes);
        }
    });
}
