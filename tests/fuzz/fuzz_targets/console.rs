//! See `landfall_fuzz::console`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::console(script));
