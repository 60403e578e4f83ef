//! The CPU under a bare-metal image: boot entry, exception vectors, MMU, caches and barriers,
//! generic timer, PSCI.
//!
//! `aarch64/` and `armv7/` hold one file per concern, with the same names, so that the two can be read side
//! by side. This crate is the only place with `cfg(target_arch)`: what it
//! exports is the same on every CPU. Boards call it; it calls nobody but the board's
//! `landfall_start`, which `#[landfall::main]` defines.
//!
//! Interrupts stay masked from the first instruction to the last. `wait_for_interrupt` returns
//! when one is pending, and the board then asks its interrupt controller which; so there is no
//! interrupt context, and code outside this crate needs no thought of reentrancy.
#![no_std]

#[cfg(test)]
extern crate std;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod aarch64;
#[cfg(all(target_os = "none", target_arch = "arm"))]
mod armv7;
#[cfg(all(target_os = "none", target_arch = "aarch64"))]
use aarch64 as cpu;
#[cfg(all(target_os = "none", target_arch = "arm"))]
use armv7 as cpu;
#[cfg(target_os = "none")]
pub use cpu::{
    cache, cpu_name, interrupt_pending, mmu, random, semihosting, timer, wait_for_interrupt,
};
#[cfg(target_os = "none")]
use cpu::{call_before, frame_pointer};

pub mod console;
#[cfg(target_os = "none")]
mod copy;
#[cfg(target_os = "none")]
pub mod crash;
#[cfg(target_os = "none")]
mod critical;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod psci;
pub mod translation;
