//! 2048 as a network service: the page with its WebAssembly, and a status API.
//!
//! - [`serve`]: the whole service on any TCP listener.
//! - `assets`: the page's files, built and listed by `build.rs`; sources in `page/`.
//! - [`status`]: what `/api/info` says.
//!
//! The binary (`main.rs`) is the wiring to [`landfall`]; the rules of the game are the crate
//! `game-2048`, which the page runs in the browser.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod assets;
pub mod status;

use edge_nal::TcpAccept;
use landfall::Info;
use landfall_http::{Handler, Limits, Request, Response, Routes, StatusCode};

/// The page for addresses that lead nowhere.
const NOT_FOUND: &str = include_str!("../page/assets/not-found.html");

/// Serves the game until accepting connections fails for good. `info` tells `/api/info` how the
/// system is doing.
pub async fn serve<A: TcpAccept>(acceptor: A, info: impl Fn() -> Info) -> Result<(), A::Error> {
    let routes = Routes::new()
        .assets(&assets::ASSETS)
        .get("/api/info", |_request| {
            Response::json(status::json(&info()))
        });
    landfall_http::serve(acceptor, Limits::default(), Service { routes }).await
}

/// The routes, with a page of our own for what they do not know.
struct Service<'a> {
    routes: Routes<'a>,
}

impl Handler for Service<'_> {
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        let response = self.routes.respond(request);
        if response.status() == StatusCode::NOT_FOUND {
            return Response::new(StatusCode::NOT_FOUND)
                .body("text/html; charset=utf-8", NOT_FOUND.as_bytes());
        }
        response
    }
}
