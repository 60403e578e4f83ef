//! The console of machines: the UART of `/chosen/stdout-path`, a PL011 or a 16550, as the machine set it up.

use core::{cell::RefCell, ptr::NonNull};
use critical_section::Mutex;
use landfall_arch::console;
use landfall_device_tree::Device;
use landfall_drivers::{pl011::Pl011, uart16550::Uart16550};
use safe_mmio::UniqueMmioPointer;

enum Uart {
    Pl011(Pl011<'static>),
    Uart16550(Uart16550<'static>),
}

static UART: Mutex<RefCell<Option<Uart>>> = Mutex::new(RefCell::new(None));

/// Starts writing to `device`; returns whether it is a UART that can be driven.
pub fn init(device: &Device<'_>) -> bool {
    let Some(uart) = find(device) else {
        return false;
    };
    critical_section::with(|cs| UART.borrow_ref_mut(cs).replace(uart));
    console::set_writer(write);
    true
}

fn find(device: &Device<'_>) -> Option<Uart> {
    let registers = device.registers(0)?.start;
    // SAFETY (of both kinds): The device tree says that such a UART's registers are here. Before the MMU is on, all
    // data accesses are device accesses; then `memory` maps them as such. Only this module has them.
    if device.is_compatible(&["arm,pl011"]) {
        let registers = NonNull::new(registers as *mut _)?;
        // SAFETY: As above.
        let registers = unsafe { UniqueMmioPointer::new(registers) };
        Some(Uart::Pl011(Pl011::new(registers)))
    } else if device.is_compatible(&["snps,dw-apb-uart"]) {
        let registers = NonNull::new(registers as *mut _)?;
        // SAFETY: As above.
        let registers = unsafe { UniqueMmioPointer::new(registers) };
        Some(Uart::Uart16550(Uart16550::new(registers)))
    } else {
        None
    }
}

fn write(bytes: &[u8]) {
    critical_section::with(|cs| {
        // Taken only when a crash interrupts a line: then two lines mix rather than one is lost.
        if let Ok(mut uart) = UART.borrow(cs).try_borrow_mut() {
            match uart.as_mut() {
                Some(Uart::Pl011(uart)) => uart.write(bytes),
                Some(Uart::Uart16550(uart)) => uart.write(bytes),
                None => {}
            }
        }
    });
}
