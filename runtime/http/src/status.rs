//! [`StatusCode`]: the three digits of a response's first line and their standard phrase.

/// An HTTP status code (RFC 9110, 15).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatusCode(u16);

macro_rules! status_codes {
    ($($code:literal $name:ident $line:literal)+) => {
        impl StatusCode {
            $(
                #[doc = $line]
                pub const $name: Self = Self($code);
            )+

            /// Returns the code and its standard phrase, "404 Not Found"; "500 Internal Server
            /// Error" for a code that this server does not know.
            pub const fn line(self) -> &'static str {
                match self.0 {
                    $($code => $line,)+
                    _ => "500 Internal Server Error",
                }
            }
        }
    };
}

status_codes! {
    200 OK "200 OK"
    201 CREATED "201 Created"
    202 ACCEPTED "202 Accepted"
    204 NO_CONTENT "204 No Content"
    301 MOVED_PERMANENTLY "301 Moved Permanently"
    302 FOUND "302 Found"
    303 SEE_OTHER "303 See Other"
    304 NOT_MODIFIED "304 Not Modified"
    307 TEMPORARY_REDIRECT "307 Temporary Redirect"
    308 PERMANENT_REDIRECT "308 Permanent Redirect"
    400 BAD_REQUEST "400 Bad Request"
    401 UNAUTHORIZED "401 Unauthorized"
    403 FORBIDDEN "403 Forbidden"
    404 NOT_FOUND "404 Not Found"
    405 METHOD_NOT_ALLOWED "405 Method Not Allowed"
    406 NOT_ACCEPTABLE "406 Not Acceptable"
    408 REQUEST_TIMEOUT "408 Request Timeout"
    409 CONFLICT "409 Conflict"
    410 GONE "410 Gone"
    411 LENGTH_REQUIRED "411 Length Required"
    412 PRECONDITION_FAILED "412 Precondition Failed"
    413 CONTENT_TOO_LARGE "413 Content Too Large"
    414 URI_TOO_LONG "414 URI Too Long"
    415 UNSUPPORTED_MEDIA_TYPE "415 Unsupported Media Type"
    417 EXPECTATION_FAILED "417 Expectation Failed"
    422 UNPROCESSABLE_CONTENT "422 Unprocessable Content"
    429 TOO_MANY_REQUESTS "429 Too Many Requests"
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "431 Request Header Fields Too Large"
    500 INTERNAL_SERVER_ERROR "500 Internal Server Error"
    501 NOT_IMPLEMENTED "501 Not Implemented"
    503 SERVICE_UNAVAILABLE "503 Service Unavailable"
    505 HTTP_VERSION_NOT_SUPPORTED "505 HTTP Version Not Supported"
}

impl StatusCode {
    /// Returns the three digits as a number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns whether a response with this code has neither a body nor a length
    /// (RFC 9110, 15.3.5 and 15.4.5).
    pub(crate) const fn is_bodiless(self) -> bool {
        matches!(self, Self::NO_CONTENT | Self::NOT_MODIFIED)
    }
}

impl core::fmt::Display for StatusCode {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.line())
    }
}
