//! See `landfall_fuzz::ip_stack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::ip_stack(script));
