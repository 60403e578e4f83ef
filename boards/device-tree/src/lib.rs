//! What a bare-metal board reads from its flattened device tree (Devicetree Specification 0.4),
//! on the `fdt` crate.
//!
//! A device tree is input from outside: what it says is checked, and what it lacks is an error or
//! `None`, never a panic. Nothing here touches a device; `memory` finds out which RAM is free.
#![no_std]

#[cfg(test)]
extern crate std;

mod device;
mod error;
mod memory;
mod structure;
mod tree;

pub use device::{Device, Interrupt, InterruptKind, Registers};
pub use error::DeviceTreeError;
pub use memory::{MemoryMap, largest_free};
pub use tree::DeviceTree;
