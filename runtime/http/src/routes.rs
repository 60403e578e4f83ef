//! [`Routes`]: a handler made of a table, with 404, 405 and `HEAD` done right.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use edge_http::Method;

use crate::{Asset, Handler, Request, Response};

enum Answer<'a> {
    Now(Box<dyn Fn(&Request<'_>) -> Response + 'a>),
    Later(Box<dyn Later + 'a>),
}

/// An answer that waits for something, as for the request's body.
trait Later {
    fn answer<'r>(
        &'r self,
        request: &'r mut Request<'_>,
    ) -> Pin<Box<dyn Future<Output = Response> + 'r>>;
}

impl<F: AsyncFn(&mut Request<'_>) -> Response> Later for F {
    fn answer<'r>(
        &'r self,
        request: &'r mut Request<'_>,
    ) -> Pin<Box<dyn Future<Output = Response> + 'r>> {
        Box::pin(self(request))
    }
}

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
/// ```no_run
/// use landfall_http::{Asset, Request, Response, Routes};
///
/// static ASSETS: [Asset; 1] = [Asset {
///     path: "/",
///     content_type: "text/html; charset=utf-8",
///     body: b"<h1>hello</h1>",
///     etag: "\"1\"",
///     cache_control: "no-cache",
///     gzip: None,
/// }];
///
/// let routes = Routes::new()
///     .assets(&ASSETS)
///     .get("/api/info", |_request| Response::json("{}"))
///     .post("/api/echo", async |request: &mut Request<'_>| {
///         match request.read_body(1000).await {
///             Ok(body) => Response::bytes("application/octet-stream", body),
///             Err(error) => error.into(),
///         }
///     });
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

    /// Answers `POST` at `path`, which must be equal to the request's path, once `answer` has read of
    /// the body what it wants.
    #[must_use]
    pub fn post(
        self,
        path: &'static str,
        answer: impl AsyncFn(&mut Request<'_>) -> Response + 'a,
    ) -> Self {
        self.with(Method::Post, path, Answer::Later(Box::new(answer)))
    }

    /// Answers `method` at `path`, which must be equal to the request's path.
    #[must_use]
    pub fn on(
        self,
        method: Method,
        path: &'static str,
        answer: impl Fn(&Request<'_>) -> Response + 'a,
    ) -> Self {
        self.with(method, path, Answer::Now(Box::new(answer)))
    }

    fn with(mut self, method: Method, path: &'static str, answer: Answer<'a>) -> Self {
        self.routes.push(Route {
            method,
            path,
            answer,
        });
        self
    }

    /// Returns the answer to a request that no route answers: an asset, or why there is none.
    fn otherwise(&self, request: &Request<'_>) -> Response {
        let path = request.path();
        let known = self.routes.iter().any(|route| route.path == path);
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
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        let (method, path) = (request.method(), request.path());
        let answer = self.routes.iter().find(|route| route.answers(method, path));
        match answer.map(|route| &route.answer) {
            Some(Answer::Now(answer)) => answer(request),
            Some(Answer::Later(answer)) => answer.answer(request).await,
            None => self.otherwise(request),
        }
    }
}

impl Route<'_> {
    fn answers(&self, method: Method, path: &str) -> bool {
        let get = self.method == Method::Get && method == Method::Head;
        (self.method == method || get) && self.path == path
    }
}
