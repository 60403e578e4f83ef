//! 2048 as a network service: the page with its WebAssembly, scores, live scores, and a status API.
//!
//! - [`serve`]: the whole service on any TCP listener; its routes.
//! - `assets`: the page's files, built and listed by `build.rs`; sources in `page/`.
//! - [`status`]: what `/api/info` says.
//! - `api`: `/api/scores` and `/api/live` over HTTP, made of what follows.
//! - `submission`: a game that was submitted, and replaying it; `leaderboard`: the best of them.
//! - `live`: who is playing, told by server-sent events.
//! - `name`, `rate`, `refusal`: names, how often one may ask, and why something is refused.
//!
//! The binary (`main.rs`) is the wiring to [`landfall`]; the rules of the game are the crate
//! `game-2048`, which the page runs in the browser.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;
mod assets;
mod json;
mod leaderboard;
mod live;
mod name;
mod rate;
mod refusal;
pub mod status;
mod submission;

use api::Api;
use edge_nal::TcpAccept;
use landfall::Info;
use landfall_http::{Handler, Limits, Request, Response, Routes, StatusCode};

/// The page for addresses that lead nowhere.
const NOT_FOUND: &str = include_str!("../page/assets/not-found.html");

/// Serves the game until accepting connections fails for good. `info` tells `/api/info` how the
/// system is doing.
pub async fn serve<A: TcpAccept>(acceptor: A, info: impl Fn() -> Info) -> Result<(), A::Error> {
    let api = Api::new();
    let routes = Routes::new()
        .assets(&assets::ASSETS)
        .get("/api/info", |_request| {
            Response::json(status::json(&info()))
        })
        .get("/api/scores", |_request| api.scores())
        .post("/api/scores", async |request: &mut Request<'_>| {
            api.submit(request, info().unix_seconds).await
        })
        .get("/api/live", |_request| api.listen())
        .post("/api/live", async |request: &mut Request<'_>| {
            api.report(request).await
        });
    landfall_http::serve(acceptor, Limits::default(), Service { routes }).await
}

/// The routes, with a page of our own for what they do not know.
struct Service<'a> {
    routes: Routes<'a>,
}

impl Handler for Service<'_> {
    async fn handle(&self, request: &mut Request<'_>) -> Response {
        let response = self.routes.handle(request).await;
        if response.status() == StatusCode::NOT_FOUND {
            return Response::new(StatusCode::NOT_FOUND)
                .body("text/html; charset=utf-8", NOT_FOUND.as_bytes());
        }
        response
    }
}
