//! See `landfall_fuzz::netfront_receive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::netfront_receive(script));
