//! 2048's API: bodies of requests, as bytes and as games.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::score_api(script));
