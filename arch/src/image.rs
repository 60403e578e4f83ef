//! Where the running image lies, from the symbols of `image.ld`.

use core::ops::Range;

/// Addresses (physical, and virtual: the map is the identity) of the parts of the image.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything, with stacks and guard pages.
    pub whole: Range<u64>,
    /// Code: read and execute.
    pub text: Range<u64>,
    /// Constants, and what the boot entry relocated: read only.
    pub rodata: Range<u64>,
    /// Variables: read and write.
    pub data: Range<u64>,
    /// The stack that everything but exception handlers runs on.
    pub stack: Range<u64>,
    /// The stack of exception handlers.
    pub exception_stack: Range<u64>,
}

/// Returns the layout of the running image.
pub fn layout() -> Layout {
    macro_rules! address {
        ($symbol:ident) => {{
            unsafe extern "C" {
                safe static $symbol: [u8; 0];
            }
            $symbol.as_ptr() as u64
        }};
    }
    Layout {
        whole: address!(__image_start)..address!(__image_end),
        text: address!(__image_start)..address!(__text_end),
        rodata: address!(__text_end)..address!(__rodata_end),
        data: address!(__rodata_end)..address!(__data_end),
        stack: address!(__stack_bottom)..address!(__stack_top),
        exception_stack: address!(__exception_stack_bottom)..address!(__exception_stack_top),
    }
}

impl Layout {
    /// Says what is at an address, where it is a place that faults tell something by.
    pub(crate) fn describe(&self, address: u64) -> Option<&'static str> {
        const PAGE: u64 = crate::translation::PAGE;
        let guard = |stack: &Range<u64>| stack.start - PAGE..stack.start;
        if address < PAGE {
            Some("the unmapped first page (a null pointer)")
        } else if guard(&self.stack).contains(&address) {
            Some("the guard page below the stack: stack overflow")
        } else if guard(&self.exception_stack).contains(&address) {
            Some("the guard page below the exception stack: stack overflow")
        } else if self.text.contains(&address) {
            Some("code, which is read-only")
        } else if self.rodata.contains(&address) {
            Some("constants, which are read-only and not executable")
        } else {
            None
        }
    }
}
