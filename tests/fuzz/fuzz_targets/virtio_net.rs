//! The virtio network driver, against a device.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::virtio_net(script));
