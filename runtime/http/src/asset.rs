//! [`Asset`]: a file that is part of the image, and how caches may keep it.

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
}

impl Asset {
    /// Returns whether `if_none_match`, the value of that header field, names this asset's tag.
    ///
    /// The comparison is the weak one (RFC 9110, 13.1.2): `W/` in front makes no difference.
    pub(crate) fn is_named_by(&self, if_none_match: &str) -> bool {
        let own = self.etag.strip_prefix("W/").unwrap_or(self.etag);
        if_none_match.split(',').any(|tag| {
            let tag = tag.trim_matches([' ', '\t']);
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
        })
    }
}
