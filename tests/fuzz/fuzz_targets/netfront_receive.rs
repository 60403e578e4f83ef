//! The receiving half of Xen's network card, against a backend.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::netfront_receive(script));
