//! The guest side of Xen on ARM, for ARMv7 and AArch64 guests.
//!
//! | module | what it speaks | Xen's header |
//! |---|---|---|
//! | [`hypercall`] | the hypercalls themselves, one function each | `arch-arm.h` |
//! | [`shared_info`] | the page that Xen and the guest share: pending events, wall clock | `xen.h` |
//! | [`events`] | event channels: notify, and wait as a future | `event_channel.h` |
//! | [`grants`] | granting pages to another domain, mapping another's | `grant_table.h` |
//! | [`ring`] | request and response rings, for every paravirtual device | `io/ring.h` |
//! | [`console`] | the PV console | `io/console.h` |
//! | [`xenstore`] | the store: values, transactions, watches | `io/xs_wire.h` |
//! | [`xenbus`] | how a frontend and its backend find each other | `io/xenbus.h` |
//! | [`netfront`] | the network card | `io/netif.h` |
//! | [`watchdog`] | Xen's watchdog, without a timer of its own | `sched.h` |
//!
//! The crate needs no other part of Landfall but the small `landfall-offload`. What it asks of the program around it:
//!
//! - Memory is mapped onto itself (a pointer is a guest physical address), as normal, write-back,
//!   inner-shareable memory (`arch-arm.h`: what all shared memory must be), and there is a heap.
//! - When the interrupt of the device tree's `xen,xen` node arrives, [`events::EventChannels::dispatch`]
//!   is called; futures are polled by any executor.
//! - One virtual CPU.
//!
//! Memory that another domain writes is read once, checked, and only then used: see [`memory`]. On a
//! host the crate compiles too, and hypercalls go to a [`hypercall::host`] that a test provides.
#![no_std]

extern crate alloc;
#[cfg(any(test, not(target_os = "none")))]
extern crate std;

pub mod bytes;
pub mod console;
mod error;
pub mod events;
pub mod grants;
#[cfg(any(test, not(target_os = "none")))]
pub mod hostile;
pub mod hypercall;
mod layouts;
pub mod memory;
pub mod netfront;
#[cfg(test)]
mod properties;
pub mod ring;
pub mod shared_info;
pub mod watchdog;
pub mod xenbus;
pub mod xenstore;

pub use error::XenError;

/// The example of the README, for `cargo test` to compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use core::fmt;

/// A domain's number (`xen.h`, `domid_t`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DomainId(pub u16);

impl DomainId {
    /// The caller itself (`xen.h`, `DOMID_SELF`).
    pub const SELF: Self = Self(0x7ff0);
    /// The first number that is no domain's (`xen.h`, `DOMID_FIRST_RESERVED`).
    pub const FIRST_RESERVED: u16 = 0x7ff0;
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "domain {}", self.0)
    }
}

/// A frame of guest physical memory: its address divided by the size of a page.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Frame(pub u64);

impl Frame {
    /// Bytes of a page, of the ABI as of the hardware (`XEN_PAGE_SIZE`).
    pub const BYTES: usize = 4096;

    /// Returns the frame that holds `address`.
    pub fn of(address: u64) -> Self {
        Self(address / Self::BYTES as u64)
    }

    /// Returns the address of its first byte.
    pub fn address(self) -> u64 {
        self.0 * Self::BYTES as u64
    }
}
