//! [`Submission`]: a game that somebody says was played, and finding out whether it was.
//!
//! The server believes nothing but seed and moves, which it plays again by the same rules. That proves
//! that the moves are those of a game with this score. It does not prove that a human made them, nor
//! that nobody looked ahead: the seed tells all tiles to come to whoever wants to know, and the page
//! itself has an undo. A seed from the server would not change that, and nobody could play offline.

use alloc::string::String;
use core::hash::Hasher as _;

use embassy_futures::yield_now;
use game_2048::Replay;
use game_2048::board::value;
use serde::Deserialize;
use serde_json_core::str::EscapedStr;

use crate::leaderboard::Entry;
use crate::name::Name;
use crate::refusal::Refusal;

/// Most moves of a game that is replayed: enough for a tile of 32768.
pub(crate) const MAX_MOVES: usize = 20_000;

/// Longest body: the moves, and room for the rest with every character of the name escaped.
pub(crate) const MAX_BODY: usize = MAX_MOVES + 1024;

/// So many moves are replayed before others have their turn: well under a millisecond.
const MOVES_AT_ONCE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    name: EscapedStr<'a>,
    /// Decimal, as a string: JavaScript's numbers have 53 bits.
    seed: &'a str,
    moves: &'a str,
    score: u32,
}

/// A game as it was submitted: its form is right, and nothing else is known of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Submission<'a> {
    name: Name,
    seed: u64,
    moves: &'a [u8],
    score: u32,
}

impl<'a> Submission<'a> {
    /// Parses the body of a request:
    ///
    /// ```json
    /// {"name": "Ada", "seed": "42", "moves": "urdl", "score": 8}
    /// ```
    ///
    /// # Errors
    /// What is wrong with its form.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let fields: Fields<'a> = parse(body)?;
        if fields.moves.len() > MAX_MOVES {
            return Err(Refusal::TooManyMoves);
        }
        Ok(Self {
            name: name(&fields.name)?,
            seed: seed(fields.seed)?,
            moves: fields.moves.as_bytes(),
            score: fields.score,
        })
    }

    /// Plays the game again; returns what goes on the list.
    ///
    /// # Errors
    /// What cannot have happened.
    pub(crate) async fn verify(self) -> Result<Entry, Refusal> {
        let mut replay = Replay::new(self.seed);
        for moves in self.moves.chunks(MOVES_AT_ONCE) {
            replay.advance(moves)?;
            yield_now().await;
        }
        let game = replay.game();
        let (claimed, reached) = (self.score, game.score());
        if claimed != reached {
            return Err(Refusal::Score { claimed, reached });
        }
        if reached == 0 {
            return Err(Refusal::NoPoints);
        }
        Ok(Entry {
            name: self.name,
            score: reached,
            moves: game.moves(),
            tile: value(game.board().highest()),
            unix_seconds: None,
            seed: self.seed,
            record: fingerprint(self.moves),
        })
    }
}

/// Parses a body that must be one JSON object and nothing else.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let (fields, _) = serde_json_core::from_slice(body).map_err(|_| Refusal::Malformed)?;
    Ok(fields)
}

/// Returns the name behind a JSON string.
pub(crate) fn name(escaped: &EscapedStr<'_>) -> Result<Name, Refusal> {
    use serde_json_core::str::EscapedStringFragment as Fragment;

    let mut typed = String::new();
    for fragment in escaped.fragments() {
        match fragment.map_err(|_| Refusal::Malformed)? {
            Fragment::NotEscaped(text) => typed.push_str(text),
            Fragment::Escaped(character) => typed.push(character),
        }
    }
    Ok(Name::new(&typed)?)
}

fn seed(digits: &str) -> Result<u64, Refusal> {
    // `parse` takes a sign too.
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| all_digits);
    number.ok_or(Refusal::Seed)
}

/// Returns what tells two records of the same seed apart: whoever makes two with the same value keeps
/// nobody but himself from the list.
fn fingerprint(moves: &[u8]) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(moves);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use game_2048::{Direction, Game, Outcome, ReplayError};
    use landfall_http::{BodyError, Response, StatusCode};

    use core::future::Future as _;

    use super::*;
    use crate::name::NameError;

    const SEED: u64 = 42;

    /// Plays until nothing moves any more, or so many moves.
    fn play(most: usize) -> (String, Game) {
        let mut game = Game::new(SEED);
        let mut moves = String::new();
        while moves.len() < most {
            let Some(direction) = Direction::ALL
                .into_iter()
                .find(|direction| game.play(*direction) != Outcome::Unchanged)
            else {
                break;
            };
            moves.push(direction.letter().into());
        }
        (moves, game)
    }

    fn body(name: &str, seed: &str, moves: &str, score: &str) -> String {
        format!(r#"{{"name":"{name}","seed":"{seed}","moves":"{moves}","score":{score}}}"#)
    }

    fn judge(body: impl AsRef<[u8]>) -> Result<Entry, Refusal> {
        async_io::block_on(Submission::parse(body.as_ref())?.verify())
    }

    #[test]
    fn a_real_game_is_accepted() {
        let (moves, game) = play(usize::MAX);
        assert!(game.is_over() && game.score() > 0);
        let score = game.score().to_string();
        let entry = judge(body(" Ada  L. ", "42", &moves, &score)).expect("a game");
        assert_eq!((entry.name.as_str(), entry.score), ("Ada L.", game.score()));
        assert_eq!((entry.moves as usize, entry.seed), (moves.len(), SEED));
        assert_eq!(entry.tile, value(game.board().highest()));
        // The order of fields and the spaces between make no difference.
        let other = format!(
            "\r\n {{ \"score\" : {score} , \"moves\" : \"{moves}\",\n\"seed\":\"0042\",\"name\":\"\\u0041da \\\"L.\\\"\" }} \n"
        );
        assert_eq!(judge(other).expect("a game").name.as_str(), "Ada \"L.\"");
    }

    #[test]
    fn a_part_of_a_game_is_a_game() {
        let (moves, game) = play(20);
        let entry = judge(body("", "42", &moves, &game.score().to_string())).expect("a game");
        assert_eq!((entry.name.as_str(), entry.moves), ("Guest", 20));
    }

    #[test]
    fn forged_games() {
        let (moves, game) = play(usize::MAX);
        let reached = game.score();
        let score = reached.to_string();
        let claim = |claimed: u32| judge(body("a", "42", &moves, &claimed.to_string()));
        for claimed in [0, reached - 4, reached + 4, u32::MAX] {
            assert_eq!(claim(claimed), Err(Refusal::Score { claimed, reached }));
        }
        for direction in Direction::ALL {
            let at = moves.len();
            let letter = char::from(direction.letter());
            let after_the_end = judge(body("a", "42", &format!("{moves}{letter}"), &score));
            assert_eq!(
                after_the_end,
                Err(ReplayError::Impossible { at, direction }.into())
            );
        }
        let impossible = judge(body("a", "42", &"u".repeat(100), "0"));
        assert!(matches!(
            impossible,
            Err(Refusal::Moves(ReplayError::Impossible { .. }))
        ));
        for unknown in ['x', 'U', ' ', '0'] {
            let unknown_direction = judge(body("a", "42", &format!("{unknown}{moves}"), &score));
            let letter = unknown as u8;
            assert_eq!(
                unknown_direction,
                Err(ReplayError::NotAMove { at: 0, letter }.into())
            );
        }
        let escaped = judge(body("a", "42", &moves.replace('u', "\\u0075"), &score));
        assert!(matches!(
            escaped,
            Err(Refusal::Moves(ReplayError::NotAMove { letter: b'\\', .. }))
        ));
        let another_game = judge(body("a", "43", &moves, &score));
        assert!(matches!(
            another_game,
            Err(Refusal::Moves(_) | Refusal::Score { .. })
        ));
        let cut = judge(body("a", "42", &moves[..moves.len() / 2], &score));
        assert!(matches!(cut, Err(Refusal::Score { claimed, reached }) if claimed > reached));
        assert_eq!(judge(body("a", "42", "", "0")), Err(Refusal::NoPoints));
    }

    #[test]
    fn there_is_an_end_to_what_is_replayed() {
        let most = "x".repeat(MAX_MOVES);
        let not_a_move = ReplayError::NotAMove {
            at: 0,
            letter: b'x',
        };
        assert_eq!(judge(body("a", "1", &most, "0")), Err(not_a_move.into()));
        assert_eq!(
            judge(body("a", "1", &format!("{most}x"), "0")),
            Err(Refusal::TooManyMoves)
        );
    }

    #[test]
    fn others_have_their_turn_during_a_replay() {
        let (moves, game) = play(usize::MAX);
        assert!(moves.len() > MOVES_AT_ONCE, "{}", moves.len());
        let body = body("a", "42", &moves, &game.score().to_string());
        let submission = Submission::parse(body.as_bytes()).expect("its form is right");
        let mut verify = core::pin::pin!(submission.verify());
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        let turns = (0..).find(|_| verify.as_mut().poll(&mut context).is_ready());
        assert_eq!(turns, Some(moves.len().div_ceil(MOVES_AT_ONCE)));
    }

    #[test]
    fn forged_seeds_and_names() {
        for seed in [
            "",
            "-1",
            "+1",
            "0x1",
            "1.0",
            " 1",
            "18446744073709551616",
            "99999999999999999999999",
        ] {
            assert_eq!(
                judge(body("a", seed, "u", "4")),
                Err(Refusal::Seed),
                "{seed:?}"
            );
        }
        assert!(matches!(
            judge(body("a", "18446744073709551615", "", "0")),
            Err(Refusal::NoPoints)
        ));
        let named = |name: &str| judge(body(name, "1", "u", "4"));
        assert_eq!(named(&"x".repeat(17)), Err(NameError::TooLong.into()));
        assert_eq!(named("a\\nb"), Err(NameError::Character('\n').into()));
        assert_eq!(named("a\\u0000b"), Err(NameError::Character('\0').into()));
        assert_eq!(
            named("a\u{202e}b"),
            Err(NameError::Character('\u{202e}').into())
        );
        assert_eq!(
            named("a\\ud800b"),
            Err(Refusal::Malformed),
            "half a character"
        );
        assert_eq!(named("a\\xb"), Err(Refusal::Malformed));
    }

    #[test]
    fn what_is_no_submission() {
        let sound = body("a", "1", "u", "4");
        for end in 0..sound.len() {
            assert_eq!(
                judge(&sound[..end]),
                Err(Refusal::Malformed),
                "{}",
                &sound[..end]
            );
        }
        for wrong in [
            "null",
            "[]",
            "4",
            r#""a""#,
            "{}",
            r#"{"name":"a","seed":"1","moves":"u"}"#,
            r#"{"name":"a","seed":1,"moves":"u","score":4}"#,
            r#"{"name":null,"seed":"1","moves":"u","score":4}"#,
            r#"{"name":["a"],"seed":"1","moves":"u","score":4}"#,
            r#"{"name":"a","seed":"1","moves":["u"],"score":4}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":"4"}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":true}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":-4}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":4.0}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":4e0}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":4294967296}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":99999999999999999999999999}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":4,"admin":true}"#,
            r#"{"name":"a","name":"b","seed":"1","moves":"u","score":4}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":4} {}"#,
            r#"{"name":"a","seed":"1","moves":"u","score":4}x"#,
        ] {
            assert_eq!(judge(wrong), Err(Refusal::Malformed), "{wrong}");
        }
        let mut bad_utf8 = body("aXb", "1", "u", "4").into_bytes();
        let place = bad_utf8
            .iter()
            .position(|byte| *byte == b'X')
            .expect("it is there");
        bad_utf8[place] = 0xff;
        assert_eq!(judge(bad_utf8), Err(Refusal::Malformed));
        assert_eq!(judge("[".repeat(MAX_BODY)), Err(Refusal::Malformed));
        assert_eq!(judge("{\"name\":".repeat(2000)), Err(Refusal::Malformed));
        assert_eq!(judge([0; 100]), Err(Refusal::Malformed));
    }

    #[test]
    fn no_bytes_are_too_odd() {
        let sound = body("a\\u0041", "1", "u", "4").into_bytes();
        let odd = [
            0, b'"', b'\\', b'{', b'}', b',', b':', b'-', b'9', b'u', 0x80, 0xff,
        ];
        for place in 0..sound.len() {
            for byte in odd {
                let mut changed = sound.clone();
                changed[place] = byte;
                let _ = judge(&changed);
                changed.truncate(place + 1);
                assert!(judge(&changed).is_err());
                changed[place..].fill(byte);
                changed.splice(place..place, [byte, byte]);
                let _ = judge(&changed);
            }
        }
    }

    #[test]
    fn refusals_say_why() {
        for (refusal, status, reason) in [
            (
                Refusal::MediaType,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "application/json",
            ),
            (
                BodyError::TooLong.into(),
                StatusCode::CONTENT_TOO_LARGE,
                "longer",
            ),
            (
                BodyError::TimedOut.into(),
                StatusCode::REQUEST_TIMEOUT,
                "in time",
            ),
            (Refusal::Malformed, StatusCode::BAD_REQUEST, "JSON"),
            (
                Refusal::TooManyMoves,
                StatusCode::CONTENT_TOO_LARGE,
                "20000 moves",
            ),
            (Refusal::Known, StatusCode::CONFLICT, "already"),
            (
                Refusal::TooOften { seconds: 3 },
                StatusCode::TOO_MANY_REQUESTS,
                "3 s",
            ),
            (
                Refusal::Score {
                    claimed: 8,
                    reached: 4,
                },
                StatusCode::UNPROCESSABLE_CONTENT,
                "4 points, not 8",
            ),
        ] {
            assert!(refusal.to_string().contains(reason), "{refusal}");
            assert_eq!(Response::from(refusal).status(), status, "{refusal}");
        }
    }
}
