//! The IP stack: frames in any order and the time between them, beside an app that connects and lets go.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::ip_stack(script));
