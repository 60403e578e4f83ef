//! Where the running image lies, from the symbols of `image.ld`.

use core::{fmt, ops::Range};

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

/// A faulting address, in words.
pub(crate) struct Place<'a> {
    pub(crate) address: u64,
    /// The fault status: the lowest six bits of ISS on aarch64 (Arm ARM DDI 0487, D24.2), of DFSR and IFSR
    /// as they are with long descriptors on ARMv7 (DDI 0406C, table B3-24).
    pub(crate) status: u64,
    pub(crate) layout: &'a Layout,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PAGE: u64 = crate::translation::PAGE;
        let (address, layout) = (self.address, self.layout);
        let guard = |stack: &Range<u64>| stack.start - PAGE..stack.start;
        let what = if address < PAGE {
            "the unmapped first page (a null pointer)"
        } else if guard(&layout.stack).contains(&address) {
            "the guard page below the stack: stack overflow"
        } else if guard(&layout.exception_stack).contains(&address) {
            "the guard page below the exception stack: stack overflow"
        } else if layout.text.contains(&address) {
            "code, which is read-only"
        } else if layout.rodata.contains(&address) {
            "constants, which are read-only and not executable"
        } else {
            match self.status & 0b111100 {
                0b000100 => "memory that is not mapped",
                0b001100 => "memory that does not permit it",
                0b010000 => "an address where the bus answers with an error",
                0b100000 => "a misaligned address",
                _ => "memory",
            }
        };
        write!(f, "{address:#x}, {what}")
    }
}
