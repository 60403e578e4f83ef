//! The generic timer, or the timers of Allwinner's A10.

use core::cell::RefCell;
use critical_section::Mutex;
use landfall_arch::timer;
use landfall_drivers::sun4i_timer::{FREQUENCY_HZ, Registers, Sun4iTimer};
use safe_mmio::UniqueMmioPointer;

static SUN4I: Mutex<RefCell<Option<Sun4iTimer<'static>>>> = Mutex::new(RefCell::new(None));

/// Takes these timers instead of the generic one, which the CPU need not have then.
pub fn use_sun4i(registers: UniqueMmioPointer<'static, Registers>) {
    let timer = Sun4iTimer::new(registers);
    critical_section::with(|cs| SUN4I.borrow_ref_mut(cs).replace(timer));
}

/// Calls `sun4i` where its timers are used, and `generic` elsewhere.
fn choose<R>(sun4i: impl FnOnce(&mut Sun4iTimer<'static>) -> R, generic: impl FnOnce() -> R) -> R {
    critical_section::with(|cs| match SUN4I.borrow_ref_mut(cs).as_mut() {
        Some(timer) => sun4i(timer),
        None => generic(),
    })
}

/// Returns the counter's frequency in Hz; 0 where nobody has said.
pub fn frequency_hz() -> u64 {
    choose(|_| FREQUENCY_HZ, timer::frequency_hz)
}

/// Returns the counter.
pub fn count() -> u64 {
    choose(|it| it.count(), timer::count)
}

/// Raises the timer's interrupt, level-sensitive, from the moment the counter reaches `count`; the A10's raises it also
/// in time for its counter to be read once in each round.
pub fn set_deadline(count: u64) {
    choose(|it| it.set_deadline(count), || timer::set_deadline(count));
}

/// Takes the deadline back.
pub fn clear_deadline() {
    choose(|it| it.set_deadline(u64::MAX), timer::clear_deadline);
}
