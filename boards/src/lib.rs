//! The board that an app is linked with.
//!
//! An app depends on this crate and not on a board; `#[landfall::main]` calls `start` of the board
//! that is re-exported here. On a host that is `unix`; bare aarch64 is `virt`, bare ARMv7 `virt-armv7`,
//! unless a feature names another board.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(all(target_os = "none", target_arch = "arm", feature = "cubieboard2"))]
pub use landfall_cubieboard2::start;
#[cfg(all(target_os = "none", target_arch = "arm", feature = "sunxi"))]
pub use landfall_sunxi::start;
#[cfg(not(target_os = "none"))]
pub use landfall_unix::start;
#[cfg(all(target_os = "none", target_arch = "aarch64", not(feature = "xenvm")))]
pub use landfall_virt::start;
#[cfg(all(
    target_os = "none",
    target_arch = "arm",
    not(any(feature = "cubieboard2", feature = "sunxi"))
))]
pub use landfall_virt_armv7::start;
#[cfg(all(target_os = "none", target_arch = "aarch64", feature = "xenvm"))]
pub use landfall_xenvm::start;
