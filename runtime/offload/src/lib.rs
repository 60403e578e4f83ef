//! What a host and its network device can leave to each other, for the IP stack and the drivers.
//!
//! - [`checksum`]: the Internet checksum.
//! - [`transport`]: checksums of TCP and UDP in a frame: made, checked, or left blank for a device.
//! - [`train`]: TCP segments that follow each other, put together to one frame that a device cuts again.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod train;
pub mod transport;

/// Bytes of Ethernet's header.
const ETHERNET_HEADER: usize = 14;
