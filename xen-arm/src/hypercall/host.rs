//! On a host there is no Xen: hypercalls go to what a test installs on its thread.

use std::{boxed::Box, cell::RefCell};

/// Answers a hypercall: its number, its arguments; a negative result is an error number.
pub type Handler = Box<dyn FnMut(usize, [usize; 3]) -> isize>;

std::thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Lets `handler` answer this thread's hypercalls from now on.
pub fn install(handler: Handler) {
    HANDLER.set(Some(handler));
}

/// `-ENOSYS`, where nothing is installed.
const NOT_IMPLEMENTED: isize = -38;

pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    HANDLER.with_borrow_mut(|handler| {
        handler
            .as_mut()
            .map_or(NOT_IMPLEMENTED, |answer| answer(number, arguments))
    })
}
