//! The client of Xen's store, against its daemon.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::xenstore(script));
