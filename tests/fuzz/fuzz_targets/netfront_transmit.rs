//! See `landfall_fuzz::netfront_transmit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::netfront_transmit(script));
