//! What bare-metal boards share: every board's machine has RAM, a GIC and a generic timer (or what the feature `sun4i`
//! has in their place), and says so in its device tree. Each module has the name of the boards' files that use it.
// Bare metal only: on a host there is nothing to link it to.
#![cfg(target_os = "none")]
#![no_std]

extern crate alloc;

pub mod entropy;
mod getrandom;
pub mod irq;
pub mod machine;
pub mod memory;
pub mod power;
pub mod time;
pub mod timer;
pub mod uart;
