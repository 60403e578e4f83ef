//! The device tree: everything that boards ask of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::device_tree(script));
