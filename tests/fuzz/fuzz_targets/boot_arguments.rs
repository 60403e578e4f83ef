//! Boot arguments: a line of words, and arguments in the file of an image.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| landfall_fuzz::boot_arguments(script));
