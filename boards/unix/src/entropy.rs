//! Entropy: the host's.

/// Hands over bytes of the host's generator, where it gives any.
pub(crate) fn refresh(absorb: &mut dyn FnMut(&[u8])) {
    let mut bytes = [0; 32];
    if getrandom::fill(&mut bytes).is_ok() {
        absorb(&bytes);
    }
}
