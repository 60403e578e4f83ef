//! [`Asset`]: a file that is part of the image, in which coding it is sent, and how caches may keep it.

use crate::encoding::accepts_gzip;

/// A file that was linked into the image. [`Response::asset`](crate::Response::asset) sends it, or
/// 304 to a client that has it already; [`Routes::assets`](crate::Routes::assets) serves many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asset {
    /// Path under which it is served, beginning with `/`.
    pub path: &'static str,
    /// Media type, such as `text/html; charset=utf-8`.
    pub content_type: &'static str,
    /// What the file holds.
    pub body: &'static [u8],
    /// Entity tag with its quotes, such as `"5d8c72a5"`; changes whenever the body does.
    pub etag: &'static str,
    /// Value of `Cache-Control`, such as `no-cache` (ask each time, 304 when it is the same).
    pub cache_control: &'static str,
    /// The same file compressed, for clients that accept it; `None` where that does not pay.
    pub gzip: Option<Gzip>,
}

/// An [`Asset`]'s body in the content coding `gzip` (RFC 9110, 8.4.1.3), made when the app was built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gzip {
    /// The compressed bytes.
    pub body: &'static [u8],
    /// Entity tag of its own (RFC 9110, 8.8.3.3), with its quotes.
    pub etag: &'static str,
}

/// What of an asset one client gets.
pub(crate) struct Representation {
    pub(crate) body: &'static [u8],
    pub(crate) etag: &'static str,
    pub(crate) is_gzip: bool,
}

impl Asset {
    /// Returns what a client gets that sent `accept_encoding`, the value of that header field.
    pub(crate) fn representation(&self, accept_encoding: Option<&str>) -> Representation {
        let gzip = self
            .gzip
            .filter(|_| accept_encoding.is_some_and(accepts_gzip));
        let Gzip { body, etag } = gzip.unwrap_or(Gzip {
            body: self.body,
            etag: self.etag,
        });
        Representation {
            body,
            etag,
            is_gzip: gzip.is_some(),
        }
    }
}

/// Returns whether `if_none_match`, the value of that header field, names the tag `etag`.
///
/// The comparison is the weak one (RFC 9110, 13.1.2): `W/` in front makes no difference.
pub(crate) fn is_named(etag: &str, if_none_match: &str) -> bool {
    let own = etag.strip_prefix("W/").unwrap_or(etag);
    if_none_match.split(',').any(|tag| {
        let tag = tag.trim_matches([' ', '\t']);
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
    })
}
