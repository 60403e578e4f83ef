//! Messages of the store (`io/xs_wire.h`): a header of four numbers, and a payload.

use super::error::{Broken, PathError};
use alloc::vec::Vec;

/// The longest payload (`XENSTORE_PAYLOAD_MAX`).
pub(super) const LONGEST_PAYLOAD: usize = 4096;
const LONGEST_ABSOLUTE: usize = 3072;
const LONGEST_RELATIVE: usize = 2048;

pub(crate) const HEADER: usize = 16;

/// `enum xsd_sockmsg_type`, as far as this client uses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub(super) enum Kind {
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Write = 11,
    MakeDirectory = 12,
    Remove = 13,
    SetPermissions = 14,
    DirectoryPart = 22,
}

/// Kinds that only the store sends.
pub(super) const WATCH_EVENT: u32 = 15;
pub(super) const ERROR: u32 = 16;

/// `struct xsd_sockmsg`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) kind: u32,
    pub(super) request: u32,
    pub(super) transaction: u32,
    pub(super) length: u32,
}

impl Header {
    pub(super) fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let words = [self.kind, self.request, self.transaction, self.length];
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    fn read(bytes: [u8; HEADER]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        Self {
            kind: word(0),
            request: word(1),
            transaction: word(2),
            length: word(3),
        }
    }
}

/// Puts messages together from the pieces in which they arrive.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    header: [u8; HEADER],
    /// Bytes of the message so far, with the header.
    have: usize,
    payload: Vec<u8>,
}

impl Incoming {
    /// Takes bytes, and calls `each` for each message that they complete.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Header, Vec<u8>),
    ) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let used = self.take(bytes)?;
            bytes = &bytes[used..];
            if self.have >= HEADER {
                let header = Header::read(self.header);
                if self.payload.len() == header.length as usize {
                    self.have = 0;
                    each(header, core::mem::take(&mut self.payload));
                }
            }
        }
        Ok(())
    }

    /// Takes bytes of the header, or else of the payload; returns how many.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        if self.have < HEADER {
            let used = bytes.len().min(HEADER - self.have);
            self.header[self.have..self.have + used].copy_from_slice(&bytes[..used]);
            self.have += used;
            let length = Header::read(self.header).length;
            if self.have == HEADER && length as usize > LONGEST_PAYLOAD {
                return Err(Broken::Length(length));
            }
            return Ok(used);
        }
        let missing = Header::read(self.header).length as usize - self.payload.len();
        let used = bytes.len().min(missing);
        self.payload.extend_from_slice(&bytes[..used]);
        Ok(used)
    }
}

/// Checks a path (Xen docs/misc/xenstore.txt, "Paths and values").
pub(super) fn check_path(path: &str) -> Result<(), PathError> {
    let longest = match path.starts_with('/') {
        true => LONGEST_ABSOLUTE,
        false => LONGEST_RELATIVE,
    };
    if path.len() > longest {
        return Err(PathError::TooLong);
    }
    let good = |it: &char| it.is_ascii_alphanumeric() || "-/_@".contains(*it);
    if let Some(bad) = path.chars().find(|it| !good(it)) {
        return Err(PathError::Character(bad));
    }
    if path.is_empty() || path.contains("//") || (path.ends_with('/') && path != "/") {
        return Err(PathError::EmptyPart);
    }
    Ok(())
}

/// Splits a payload at its zero bytes; `None` when a part is not text. The last part may lack its
/// zero byte.
pub(super) fn strings(payload: &[u8]) -> Option<Vec<&str>> {
    let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
    if payload.is_empty() {
        return Some(Vec::new());
    }
    let parts = payload.split(|&byte| byte == 0);
    parts.map(|part| core::str::from_utf8(part).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kind: 2,
            request: 7,
            transaction: 0,
            length,
        };
        [&header.bytes(), payload].concat()
    }

    #[test]
    fn messages_are_put_together_from_any_pieces() {
        let stream = [message(5, b"hello"), message(0, b""), message(1, b"x")].concat();
        for size in 1..stream.len() {
            let mut incoming = Incoming::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                incoming
                    .feed(piece, |header, payload| {
                        seen.push((header.request, payload))
                    })
                    .unwrap();
            }
            let payloads: Vec<&[u8]> = seen.iter().map(|(_, payload)| &payload[..]).collect();
            assert_eq!(payloads, [&b"hello"[..], b"", b"x"], "pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_breaks_the_connection() {
        let mut incoming = Incoming::default();
        let error = incoming.feed(&message(4097, b""), |_, _| panic!("no message"));
        assert_eq!(error, Err(Broken::Length(4097)));
        let mut count = 0;
        let longest = message(4096, &[0; 4096]);
        Incoming::default()
            .feed(&longest, |_, _| count += 1)
            .unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn paths_are_checked() {
        for good in [
            "/",
            "device/vif/0",
            "/local/domain/1",
            "@releaseDomain",
            "a_b-c",
        ] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "/a/", "a//b", "//"] {
            assert_eq!(check_path(bad), Err(PathError::EmptyPart), "{bad}");
        }
        for (bad, character) in [("a b", ' '), ("a\0b", '\0'), ("ä", 'ä'), ("a.b", '.')] {
            assert_eq!(check_path(bad), Err(PathError::Character(character)));
        }
        assert_eq!(check_path(&"a".repeat(2049)), Err(PathError::TooLong));
        assert_eq!(
            check_path(&alloc::format!("/{}", "a".repeat(3072))),
            Err(PathError::TooLong)
        );
    }

    #[test]
    fn payloads_are_split_at_zero_bytes() {
        assert_eq!(strings(b"a\0bc\0"), Some(alloc::vec!["a", "bc"]));
        assert_eq!(strings(b"a\0bc"), Some(alloc::vec!["a", "bc"]));
        assert_eq!(strings(b""), Some(Vec::new()));
        assert_eq!(strings(b"\xff\0"), None);
    }
}
