//! The page's files.

use landfall_http::Asset;

/// A file of the page. It is too small for compression to pay.
macro_rules! asset {
    ($path:literal, $file:literal, $content_type:literal) => {{
        const BODY: &[u8] = include_bytes!(concat!("../page/", $file));
        const TAG: [u8; 18] = tag(BODY);
        Asset {
            path: $path,
            content_type: $content_type,
            body: BODY,
            etag: match core::str::from_utf8(&TAG) {
                Ok(tag) => tag,
                Err(_) => panic!("a tag is ASCII"),
            },
            cache_control: "no-cache",
            gzip: None,
        }
    }};
}

pub(crate) static ASSETS: [Asset; 4] = [
    asset!("/", "index.html", "text/html; charset=utf-8"),
    asset!("/style.css", "style.css", "text/css; charset=utf-8"),
    asset!(
        "/thermometer.js",
        "thermometer.js",
        "text/javascript; charset=utf-8"
    ),
    asset!("/icon.svg", "icon.svg", "image/svg+xml"),
];

/// Returns an entity tag with its quotes: FNV-1a of the file, which is the same in every build.
const fn tag(body: &[u8]) -> [u8; 18] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < body.len() {
        hash = (hash ^ body[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    let mut tag = [b'"'; 18];
    let mut digit = 0;
    while digit < 16 {
        tag[1 + digit] = b"0123456789abcdef"[(hash >> (60 - 4 * digit)) as usize & 0xf];
        digit += 1;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_fnv() {
        assert_eq!(&tag(b""), b"\"cbf29ce484222325\"");
        assert_eq!(&tag(b"a"), b"\"af63dc4c8601ec8c\"");
        assert_ne!(ASSETS[0].etag, ASSETS[1].etag);
    }
}
