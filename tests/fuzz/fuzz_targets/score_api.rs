//! See `landfall_fuzz::score_api`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::score_api(script));
