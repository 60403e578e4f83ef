//! [`Api`]: scores and players over HTTP. What a request may say is bounded before anything is kept.

use alloc::format;
use alloc::rc::Rc;
use core::cell::RefCell;

use embassy_time::{Duration, Instant};
use landfall_http::{Request, Response, StatusCode};

use crate::leaderboard::Leaderboard;
use crate::live::{Live, MAX_REPORT, Report};
use crate::monitor::Counts;
use crate::rate::RateLimiter;
use crate::refusal::Refusal;
use crate::submission::{MAX_BODY, Submission};

/// Everything that the API keeps.
pub(crate) struct Api {
    leaderboard: RefCell<Leaderboard>,
    live: Rc<Live>,
    submissions: RefCell<RateLimiter>,
    reports: RefCell<RateLimiter>,
    counts: Counts,
}

impl Api {
    pub(crate) fn new(counts: Counts) -> Self {
        Self {
            leaderboard: RefCell::default(),
            live: Rc::new(Live::new(counts.players.clone())),
            submissions: RefCell::new(RateLimiter::new(30, Duration::from_secs(2))),
            // A page reports every two seconds, and several may share an address.
            reports: RefCell::new(RateLimiter::new(60, Duration::from_millis(200))),
            counts,
        }
    }

    /// `GET /api/scores`
    pub(crate) fn scores(&self) -> Response {
        Response::json(self.leaderboard.borrow().json())
    }

    /// `POST /api/scores`
    pub(crate) async fn submit(
        &self,
        request: &mut Request<'_>,
        unix_seconds: Option<u64>,
    ) -> Response {
        let listed = self.list(request, unix_seconds).await;
        let count = match listed {
            Ok(_) => &self.counts.accepted,
            Err(_) => &self.counts.refused,
        };
        count.add(1);
        match listed {
            Ok(Some(rank)) => Response::new(StatusCode::CREATED)
                .body(
                    "application/json",
                    format!(r#"{{"rank":{rank}}}"#).into_bytes(),
                )
                .cache_control("no-store"),
            Ok(None) => Response::json(r#"{"rank":null}"#),
            Err(refusal) => refusal.into(),
        }
    }

    async fn list(
        &self,
        request: &mut Request<'_>,
        unix_seconds: Option<u64>,
    ) -> Result<Option<usize>, Refusal> {
        admit(&self.submissions, request)?;
        let body = request.read_body(MAX_BODY).await?;
        let mut entry = Submission::parse(&body)?.verify().await?;
        entry.unix_seconds = unix_seconds;
        let rank = self.leaderboard.borrow_mut().insert(entry)?;
        if rank.is_some() {
            self.live.scores_changed();
        }
        Ok(rank)
    }

    /// `GET /api/live`
    pub(crate) fn listen(&self) -> Response {
        Response::stream("text/event-stream", Rc::clone(&self.live).listen())
    }

    /// `POST /api/live`
    pub(crate) async fn report(&self, request: &mut Request<'_>) -> Response {
        match self.note(request).await {
            Ok(player) => Response::json(format!(r#"{{"player":{player}}}"#)),
            Err(refusal) => refusal.into(),
        }
    }

    async fn note(&self, request: &mut Request<'_>) -> Result<u32, Refusal> {
        admit(&self.reports, request)?;
        let body = request.read_body(MAX_REPORT).await?;
        self.live.report(Report::parse(&body)?, Instant::now())
    }
}

/// Lets a request pass that does not come too often, and whose body says that it is JSON: other
/// sites' pages cannot send that without asking first (Fetch, 2.2.2).
fn admit(limiter: &RefCell<RateLimiter>, request: &Request<'_>) -> Result<(), Refusal> {
    let taken = limiter
        .borrow_mut()
        .take(request.peer().ip(), Instant::now());
    taken.map_err(|wait| Refusal::TooOften {
        seconds: wait.as_millis().div_ceil(1000),
    })?;
    let media_type = request.header("Content-Type").unwrap_or_default();
    let media_type = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    match media_type.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Refusal::MediaType),
    }
}
