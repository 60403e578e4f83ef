//! The receiving half of the network card against scripts of bytes: see `xen_arm::hostile`.
#![no_main]

use libfuzzer_sys::fuzz_target;

// `critical-section` with its implementation for hosts, which the crate asks the program for.
use critical_section as _;

fuzz_target!(|script: &[u8]| xen_arm::hostile::netfront_receive(script));
