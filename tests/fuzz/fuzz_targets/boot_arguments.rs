//! See `landfall_fuzz::boot_arguments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::boot_arguments(script));
