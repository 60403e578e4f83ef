//! 2048 as a network service: the page with its WebAssembly, scores, live scores, and a status API.
//!
//! - [`serve`]: the whole service on any TCP listener; its routes.
//! - `assets`: the page's files, built and listed by `build.rs`; sources in `page/`.
//! - [`monitor`]: what the pages for those who run it ask; [`status`]: what `/api/info` says.
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
pub mod monitor;
mod name;
mod rate;
mod refusal;
pub mod status;
mod submission;

use alloc::string::String;

use api::Api;
use edge_nal::TcpAccept;
use landfall::metrics::Metrics;
use landfall_http::{Handler, Limits, Request, Response, Routes, StatusCode};
use monitor::Monitor;

/// The page for addresses that lead nowhere.
const NOT_FOUND: &str = include_str!("../page/assets/not-found.html");

/// Serves the game until accepting connections fails for good. `monitor` knows how the system is doing.
pub async fn serve<A: TcpAccept>(acceptor: A, monitor: impl Monitor) -> Result<(), A::Error> {
    let api = Api::new(monitor.counts());
    let routes = Routes::new()
        .assets(&assets::ASSETS)
        .get("/api/info", |_request| {
            Response::json(status::json(&monitor.info()))
        })
        .get("/api/log", |_request| {
            text("text/plain; charset=utf-8", monitor.log())
        })
        .get("/metrics", |_request| {
            text(Metrics::CONTENT_TYPE, monitor.metrics())
        })
        .get("/api/scores", |_request| api.scores())
        .post("/api/scores", async |request: &mut Request<'_>| {
            api.submit(request, monitor.info().unix_seconds).await
        })
        .get("/api/live", |_request| api.listen())
        .post("/api/live", async |request: &mut Request<'_>| {
            api.report(request).await
        });
    landfall_http::serve(acceptor, Limits::default(), Service { routes }).await
}

/// A text that is another each time.
fn text(content_type: &'static str, text: String) -> Response {
    Response::new(StatusCode::OK)
        .body(content_type, text.into_bytes())
        .cache_control("no-store")
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
