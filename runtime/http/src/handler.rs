//! [`Handler`]: the app's side of the server.

use core::future::{Future, ready};

use crate::{Request, Response};

/// Answers requests.
///
/// Any `Fn(&Request<'_>) -> Response` is a handler. Implement the trait with an `async fn` where
/// an answer has to wait for something, such as the request's body:
///
/// ```
/// use landfall_http::{Handler, Request, Response};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     async fn handle(&self, request: &mut Request<'_>) -> Response {
///         match request.read_body(1000).await {
///             Ok(body) => Response::bytes("application/octet-stream", body),
///             Err(error) => error.into(),
///         }
///     }
/// }
/// ```
pub trait Handler {
    /// Returns the answer to `request`.
    ///
    /// The server sends it, leaves the body out where the method is `HEAD`, and keeps the
    /// connection open where the client wishes so.
    fn handle(&self, request: &mut Request<'_>) -> impl Future<Output = Response>;
}

impl<F> Handler for F
where
    F: Fn(&Request<'_>) -> Response,
{
    fn handle(&self, request: &mut Request<'_>) -> impl Future<Output = Response> {
        ready(self(request))
    }
}
