//! Putting an image onto a card: [`devices`] knows which device may be written, [`copy`] writes and reads back.

pub(crate) mod copy;
pub(crate) mod devices;
