//! The CPU's random number generator (FEAT_RNG: Arm ARM DDI 0487, K.a, D24.2 "RNDR").

use core::arch::asm;

/// How often it is asked again: it fails when it cannot give numbers "in a reasonable period of time", which is to
/// pass.
const TRIES: usize = 16;

/// Returns a number of the generator; `None` where the CPU has none, or where it keeps failing.
pub fn random() -> Option<u64> {
    (0..TRIES).filter(|_| has_generator()).find_map(|_| read())
}

/// ID_AA64ISAR0_EL1.RNDR
fn has_generator() -> bool {
    let features: u64;
    // SAFETY: Reads a register; touches neither memory nor flags.
    unsafe {
        asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack, preserves_flags));
    }
    features >> 60 != 0
}

/// Reads RNDR, by its encoding: assemblers know the name only with the feature. It sets Z when it fails.
fn read() -> Option<u64> {
    let (number, success): (u64, u64);
    // SAFETY: The CPU has the register; touches no memory.
    unsafe {
        asm!(
            "mrs {}, s3_3_c2_c4_0",
            "cset {}, ne",
            out(reg) number, out(reg) success,
            options(nomem, nostack)
        );
    }
    (success != 0).then_some(number)
}
