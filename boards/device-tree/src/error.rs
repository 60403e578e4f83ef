//! Why a device tree cannot be used.

use core::fmt;

/// What is wrong with a device tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeviceTreeError {
    /// The loader passed no address, or one that is not aligned to 8 bytes.
    Address(usize),
    /// The first word is not 0xd00dfeed.
    Magic(u32),
    /// The sizes and offsets of the header contradict each other.
    Header,
    /// A node or property that is not well-formed.
    Malformed,
    /// More memory regions than there is room for.
    TooManyRegions(usize),
}

impl fmt::Display for DeviceTreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => {
                write!(f, "no device tree: the loader passed address {address:#x}")
            }
            Self::Magic(magic) => {
                write!(
                    f,
                    "no device tree: it starts with {magic:#010x} instead of 0xd00dfeed"
                )
            }
            Self::Header => f.write_str("the device tree's header contradicts itself"),
            Self::Malformed => f.write_str("the device tree is malformed"),
            Self::TooManyRegions(limit) => {
                write!(f, "the device tree lists more than {limit} memory regions")
            }
        }
    }
}

impl core::error::Error for DeviceTreeError {}

impl From<fdt::FdtError> for DeviceTreeError {
    fn from(_: fdt::FdtError) -> Self {
        Self::Malformed
    }
}
