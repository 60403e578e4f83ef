//! The backend of crate `getrandom`, by which crates that know nothing of Landfall come to random numbers.
//!
//! `.cargo/config.toml` sets `getrandom_backend="custom"` for bare-metal targets; the crate then calls the function
//! here by its name, which versions 0.3 and 0.4 share. An app that has no use for it does not have it in its image.

use getrandom::Error;
use landfall::entropy;

/// Before the runtime has begun, there is nothing that could be random.
const NOT_SEEDED: u16 = 1;

/// Fills `length` bytes.
///
/// # Safety
/// 1. `destination` is where `length` bytes may be written, and nobody else uses them meanwhile.
// An exported symbol is how `getrandom` finds its backend.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), Error> {
    // SAFETY: 1. After the first line the bytes are initialised, as a slice's must be.
    let bytes = unsafe {
        destination.write_bytes(0, length);
        core::slice::from_raw_parts_mut(destination, length)
    };
    entropy::fill(bytes).map_err(|_| Error::new_custom(NOT_SEEDED))
}
