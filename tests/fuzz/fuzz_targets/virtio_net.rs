//! See `landfall_fuzz::virtio_net`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::virtio_net(script));
