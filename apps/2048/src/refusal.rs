//! [`Refusal`]: why the API does not do what it was asked, as status and JSON.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use game_2048::ReplayError;
use landfall_http::{BodyError, Response, StatusCode};

use crate::json::Quoted;
use crate::name::NameError;
use crate::submission::MAX_MOVES;

/// Why something was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The body is not of type `application/json`.
    MediaType,
    /// The body did not arrive, or is too long.
    Body(BodyError),
    /// The body is not the JSON object that is expected.
    Malformed,
    /// The name is not one that others can be shown.
    Name(NameError),
    /// The seed is no number of 64 bits.
    Seed,
    /// There are more moves than this server replays.
    TooManyMoves,
    /// The moves are not those of a game.
    Moves(ReplayError),
    /// The moves make another score than was claimed.
    Score {
        /// What was claimed.
        claimed: u32,
        /// What the moves make.
        reached: u32,
    },
    /// There is nothing to list.
    NoPoints,
    /// No game has this score.
    ImpossibleScore,
    /// This very game is listed.
    Known,
    /// The player has a better score of the same game on the list.
    Beaten,
    /// Too many requests from this address.
    TooOften {
        /// When another one may come.
        seconds: u64,
    },
    /// There are as many players as this server keeps.
    Crowded,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(error) => error.status(),
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooManyMoves => StatusCode::CONTENT_TOO_LARGE,
            Self::Name(_)
            | Self::Seed
            | Self::Moves(_)
            | Self::Score { .. }
            | Self::NoPoints
            | Self::ImpossibleScore => StatusCode::UNPROCESSABLE_CONTENT,
            Self::Known | Self::Beaten => StatusCode::CONFLICT,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => formatter.write_str("the body must be application/json"),
            Self::Body(error) => error.fmt(formatter),
            Self::Malformed => formatter.write_str("the body is not the expected JSON object"),
            Self::Name(error) => error.fmt(formatter),
            Self::Seed => formatter.write_str("the seed is not a decimal number below 2^64"),
            Self::TooManyMoves => write!(formatter, "there are more than {MAX_MOVES} moves"),
            Self::Moves(error) => error.fmt(formatter),
            Self::Score { claimed, reached } => {
                write!(formatter, "the moves make {reached} points, not {claimed}")
            }
            Self::NoPoints => formatter.write_str("the game has no points yet"),
            Self::ImpossibleScore => formatter.write_str("no game has this score"),
            Self::Known => formatter.write_str("this game is on the list already"),
            Self::Beaten => {
                formatter.write_str("a better score of this game is on the list already")
            }
            Self::TooOften { seconds } => write!(formatter, "too often: wait {seconds} s"),
            Self::Crowded => formatter.write_str("too many players are here"),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Self {
        Self::Moves(error)
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let reason: String = refusal.to_string();
        let response = Self::new(refusal.status())
            .body(
                "application/json",
                format!(r#"{{"error":{}}}"#, Quoted(&reason)).into_bytes(),
            )
            .cache_control("no-store");
        match refusal {
            Refusal::TooOften { seconds } => response.header("Retry-After", seconds.to_string()),
            _ => response,
        }
    }
}
