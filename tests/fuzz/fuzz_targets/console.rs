//! The console of a guest of Xen, against dom0's end of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::console(script));
