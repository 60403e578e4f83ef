//! See `landfall_fuzz::http`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::http(script));
