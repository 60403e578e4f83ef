//! What a host and its network device can leave to each other, for the IP stack and the drivers.
//!
//! - [`checksum`]: the Internet checksum.
//! - [`transport`]: checksums of TCP and UDP in a frame: made, checked, or left blank for a device.
//! - [`segmentation`]: frames of TCP that a device cuts into segments.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod segmentation;
pub mod transport;

/// Bytes of Ethernet's header.
const ETHERNET_HEADER: usize = 14;
