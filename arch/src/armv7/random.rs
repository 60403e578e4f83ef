//! The CPU's random number generator: ARMv7 has none.

/// Returns a number of the generator; `None` where the CPU has none, or where it keeps failing.
pub fn random() -> Option<u64> {
    None
}
