//! Sequence numbers (RFC 9293, 3.4).

/// A sequence number. Numbers wrap, so one is before another only within half of all there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: u32) -> Seq {
        Seq(self.0.wrapping_add(bytes))
    }

    /// How many bytes this is behind `earlier`, which is not after it.
    pub fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Returns whether this comes before `other`.
    pub fn is_before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Returns whether this comes after `other`.
    pub fn is_after(self, other: Seq) -> bool {
        other.is_before(self)
    }

    /// The later of two.
    #[must_use]
    pub fn max(self, other: Seq) -> Seq {
        if self.is_before(other) { other } else { self }
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Seq) -> Seq {
        if other.is_before(self) { other } else { self }
    }
}
