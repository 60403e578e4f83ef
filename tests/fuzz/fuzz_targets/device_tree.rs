//! See `landfall_fuzz::device_tree`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::device_tree(script));
