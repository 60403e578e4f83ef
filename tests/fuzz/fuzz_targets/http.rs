//! The HTTP server: bytes of several clients, in any pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::http(script));
