//! Looking at the bytes of a head: which are which, and where the first of a kind is, eight at a time.

/// What a byte may be part of.
pub(crate) struct Class(u8);

impl Class {
    /// A token (RFC 9110, 5.6.2).
    pub(crate) const TOKEN: Self = Self(1);
    /// A request's target: visible ASCII without what begins a fragment (RFC 9112, 3.2).
    pub(crate) const TARGET: Self = Self(2);
    /// A host with its port (RFC 3986, 3.2.2).
    pub(crate) const HOST: Self = Self(4);

    /// Returns whether all of `bytes` are of this class.
    pub(crate) fn has_all(self, bytes: &[u8]) -> bool {
        bytes
            .iter()
            .all(|&byte| CLASSES[usize::from(byte)] & self.0 != 0)
    }
}

/// The classes that each byte is of.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let at = byte as usize;
        if byte.is_ascii_alphanumeric() {
            classes[at] |= Class::TOKEN.0 | Class::HOST.0;
        }
        if byte != b'#' {
            classes[at] |= Class::TARGET.0;
        }
        byte += 1;
    }
    mark(
        mark(classes, b"!#$%&'*+-.^_`|~", Class::TOKEN),
        b"-._~%!$&'()*+;=:[]",
        Class::HOST,
    )
};

const fn mark(mut classes: [u8; 256], bytes: &[u8], class: Class) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        classes[bytes[at] as usize] |= class.0;
        at += 1;
    }
    classes
}

/// One in each byte.
const ONES: u64 = u64::MAX / 0xff;
/// The highest bit of each byte.
const HIGH: u64 = ONES << 7;

/// Returns where the first control character is (RFC 5234, B.1: CTL).
pub(crate) fn first_control(bytes: &[u8]) -> Option<usize> {
    position(bytes, |word| {
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        below_space | zeros(word ^ (ONES * 0x7f))
    })
}

/// Returns where the first line feed is.
pub(crate) fn first_line_feed(bytes: &[u8]) -> Option<usize> {
    position(bytes, |word| zeros(word ^ (ONES * 0x0a)))
}

/// Sets the highest bit of each byte that is zero. Above the first of them others may be set, too.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Returns where the first byte is for which `marks` sets the highest bit.
fn position(bytes: &[u8], marks: impl Fn(u64) -> u64) -> Option<usize> {
    let marked = |word| marks(word) & HIGH;
    let one = |&byte: &u8| marked(ONES * u64::from(byte)) != 0;
    // Words where they lie aligned: the targets' code takes others byte by byte (`strict-align`).
    let (front, words, back) = bytemuck::pod_align_to::<u8, u64>(bytes);
    if let Some(at) = front.iter().position(one) {
        return Some(at);
    }
    let mut at = front.len();
    for word in words {
        let found = marked(word.to_le());
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    back.iter().position(one).map(|behind| at + behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn classes_are_what_the_standards_say() {
        for byte in 0..=0xff_u8 {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let target = byte.is_ascii_graphic() && byte != b'#';
            let host = byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte);
            assert_eq!(Class::TOKEN.has_all(&[b'a', byte]), token, "{byte:#x}");
            assert_eq!(Class::TARGET.has_all(&[byte, b'/']), target, "{byte:#x}");
            assert_eq!(Class::HOST.has_all(&[byte]), host, "{byte:#x}");
        }
    }

    #[test]
    fn the_first_byte_of_a_kind_is_found_wherever_it_is() {
        for kind in 0..=0xff_u8 {
            // What carries into its neighbours when it is looked for must not be taken for it.
            for around in [b' ', 0x80, 0xff, b'~', 0x0b, 0x21] {
                for (length, start) in (0..20).flat_map(|length| (0..8).map(move |it| (length, it)))
                {
                    let mut memory: Vec<u8> =
                        core::iter::repeat_n(around, start + length).collect();
                    if length > 0 {
                        memory[start + length * usize::from(kind) / 256] = kind;
                    }
                    let bytes = &memory[start..];
                    let control = bytes.iter().position(u8::is_ascii_control);
                    let feed = bytes.iter().position(|&byte| byte == b'\n');
                    assert_eq!(first_control(bytes), control, "{bytes:?}");
                    assert_eq!(first_line_feed(bytes), feed, "{bytes:?}");
                }
            }
        }
    }
}
