//! [`Routes`]: a handler made of a table, with 404, 405 and `HEAD` done right.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, ready};

use edge_http::Method;

use crate::{Asset, Handler, Request, Response};

type Answer<'a> = Box<dyn Fn(&Request<'_>) -> Response + 'a>;

struct Route<'a> {
    method: Method,
    path: &'static str,
    answer: Answer<'a>,
}

/// A table of paths and assets.
///
/// An unknown path gets 404. A known path with another method gets 405 that names the right ones.
/// `HEAD` is answered as `GET` is, without the body.
///
/// ```
/// use landfall_http::{Asset, Response, Routes};
///
/// static ASSETS: [Asset; 1] = [Asset {
///     path: "/",
///     content_type: "text/html; charset=utf-8",
///     body: b"<h1>hello</h1>",
///     etag: "\"1\"",
///     cache_control: "no-cache",
/// }];
///
/// let routes = Routes::new()
///     .assets(&ASSETS)
///     .get("/api/info", |_request| Response::json("{}"));
/// ```
#[derive(Default)]
pub struct Routes<'a> {
    routes: Vec<Route<'a>>,
    assets: &'a [Asset],
}

impl<'a> Routes<'a> {
    /// Returns an empty table, which answers everything with 404.
    pub const fn new() -> Self {
        Self {
            routes: Vec::new(),
            assets: &[],
        }
    }

    /// Serves these assets, each at its own path.
    #[must_use]
    pub fn assets(mut self, assets: &'a [Asset]) -> Self {
        self.assets = assets;
        self
    }

    /// Answers `GET` and `HEAD` at `path`, which must be equal to the request's path.
    #[must_use]
    pub fn get(self, path: &'static str, answer: impl Fn(&Request<'_>) -> Response + 'a) -> Self {
        self.on(Method::Get, path, answer)
    }

    /// Answers `method` at `path`, which must be equal to the request's path.
    #[must_use]
    pub fn on(
        mut self,
        method: Method,
        path: &'static str,
        answer: impl Fn(&Request<'_>) -> Response + 'a,
    ) -> Self {
        self.routes.push(Route {
            method,
            path,
            answer: Box::new(answer),
        });
        self
    }

    /// Returns the answer to `request`; for a [`Handler`] that treats some paths itself and leaves
    /// the rest to the table.
    pub fn respond(&self, request: &Request<'_>) -> Response {
        let path = request.path();
        let mut known = false;
        for route in self.routes.iter().filter(|route| route.path == path) {
            if route.method == request.method() || route.method == Method::Get && request.is_get() {
                return (route.answer)(request);
            }
            known = true;
        }
        match self.assets.iter().find(|asset| asset.path == path) {
            Some(asset) if request.is_get() || !known => Response::asset(asset, request),
            None if !known => Response::not_found(),
            _ => Response::method_not_allowed(self.allowed(path)),
        }
    }
    /// Returns the value of `Allow` for a path that the table knows.
    fn allowed(&self, path: &str) -> Cow<'static, str> {
        use core::fmt::Write;

        let asset = self.assets.iter().any(|asset| asset.path == path);
        let mut allow = alloc::string::String::new();
        if asset {
            allow.push_str("GET, HEAD");
        }
        for route in self.routes.iter().filter(|route| route.path == path) {
            if !allow.is_empty() {
                allow.push_str(", ");
            }
            match route.method {
                Method::Get => allow.push_str("GET, HEAD"),
                // Writing to a String cannot fail.
                other => drop(write!(allow, "{other}")),
            }
        }
        Cow::Owned(allow)
    }
}

impl Handler for Routes<'_> {
    fn handle(&self, request: &mut Request<'_>) -> impl Future<Output = Response> {
        ready(self.respond(request))
    }
}
