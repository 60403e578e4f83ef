//! See `landfall_fuzz::xenstore`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::xenstore(script));
