//! [`Live`]: who is playing just now, and the streams that tell everybody so.
//!
//! The scores here are what the pages say; what is on the [leaderboard](crate::leaderboard) was replayed.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::{self, Display, Formatter};
use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use embassy_time::{Duration, Instant, Timer};
use futures_util::Stream;
use serde::Deserialize;
use serde_json_core::str::EscapedStr;

use landfall::metrics::Gauge;

use crate::json::{Array, Quoted};
use crate::name::Name;
use crate::refusal::Refusal;
use crate::submission;

/// Longest report.
pub(crate) const MAX_REPORT: usize = 512;
/// Players that are kept.
const MAX_PLAYERS: usize = 64;
/// Players that are shown: those with the best scores.
const SHOWN: usize = 10;
/// No game has more points: sixteen tiles from 131072 to 4, all of them made of twos.
const MAX_SCORE: u32 = 3_932_164;
/// Who has said nothing for so long has left.
const EXPIRY: Duration = Duration::from_secs(45);
/// How long a listener is left in peace after an event: what changes in between comes in one.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a listener hears something, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a page says of its player.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    /// A random number, which nobody else is told.
    player: u64,
    #[serde(borrow)]
    name: EscapedStr<'a>,
    score: u32,
}

/// What a page says of its player, in good form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Report {
    secret: u64,
    name: Name,
    score: u32,
}

impl Report {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let fields: Fields<'_> = submission::parse(body)?;
        if fields.score > MAX_SCORE {
            return Err(Refusal::ImpossibleScore);
        }
        Ok(Self {
            secret: fields.player,
            name: submission::name(&fields.name)?,
            score: fields.score,
        })
    }
}

#[derive(Debug)]
struct Player {
    secret: u64,
    /// What others know the player by.
    number: u32,
    name: Name,
    score: u32,
    heard: Instant,
}

/// As a JSON object.
impl Display for Player {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            name,
            score,
            ..
        } = self;
        let name = Quoted(name.as_str());
        write!(
            formatter,
            r#"{{"player":{number},"name":{name},"score":{score}}}"#
        )
    }
}

/// The players, and whoever listens to what they do.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Best first.
    players: RefCell<Vec<Player>>,
    last_number: Cell<u32>,
    /// How often the leaderboard has changed.
    scores: Cell<u32>,
    /// How often anything has changed.
    version: Cell<u32>,
    /// One place for each listener that there is.
    listeners: RefCell<Vec<Option<Waker>>>,
    /// How many players there are, for others.
    count: Gauge,
}

impl Live {
    /// Has no players; `count` is told how many there are.
    pub(crate) fn new(count: Gauge) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// Notes a report; returns the number by which others know the player.
    pub(crate) fn report(&self, report: Report, now: Instant) -> Result<u32, Refusal> {
        self.expire(now);
        let Report {
            secret,
            name,
            score,
        } = report;
        let mut players = self.players.borrow_mut();
        let known = players.iter().position(|player| player.secret == secret);
        if known.is_none() && players.len() >= MAX_PLAYERS {
            return Err(Refusal::Crowded);
        }
        let before = known.map(|place| players.remove(place));
        let same = before
            .as_ref()
            .is_some_and(|before| (&before.name, before.score) == (&name, score));
        let number = before.map_or_else(|| self.next_number(), |before| before.number);
        let place = players.partition_point(|player| player.score >= score);
        let player = Player {
            secret,
            number,
            name,
            score,
            heard: now,
        };
        players.insert(place, player);
        drop(players);
        if !same {
            self.changed();
        }
        Ok(number)
    }

    /// Notes that the leaderboard has changed.
    pub(crate) fn scores_changed(&self) {
        self.scores.set(self.scores.get().wrapping_add(1));
        self.changed();
    }

    /// Returns the stream of a new listener.
    pub(crate) fn listen(self: Rc<Self>) -> impl Stream<Item = Vec<u8>> + 'static {
        let now = Instant::now();
        let mut listeners = self.listeners.borrow_mut();
        let place = listeners.iter().position(Option::is_none);
        let place = place.unwrap_or(listeners.len());
        if place == listeners.len() {
            listeners.push(None);
        }
        listeners[place] = Some(Waker::noop().clone());
        drop(listeners);
        Listener {
            live: self,
            place,
            pace: Pace::new(now),
            timer: Timer::at(now),
        }
    }

    fn next_number(&self) -> u32 {
        let number = self.last_number.get().wrapping_add(1);
        self.last_number.set(number);
        number
    }

    fn changed(&self) {
        self.version.set(self.version.get().wrapping_add(1));
        // A few hundred at most.
        self.count.set(self.players.borrow().len() as i64);
        for waker in self.listeners.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    fn expire(&self, now: Instant) {
        let mut players = self.players.borrow_mut();
        let before = players.len();
        players.retain(|player| now.saturating_duration_since(player.heard) < EXPIRY);
        let gone = players.len() < before;
        drop(players);
        if gone {
            self.changed();
        }
    }

    /// Returns the event that says how things are.
    fn event(&self) -> String {
        let players = self.players.borrow();
        let shown = Array(players.iter().take(SHOWN));
        let (count, scores) = (players.len(), self.scores.get());
        format!("data: {{\"players\":{shown},\"count\":{count},\"scores\":{scores}}}\n\n")
    }
}

/// When one listener is told something.
#[derive(Debug)]
struct Pace {
    /// The version that was told last.
    told: Option<u32>,
    not_before: Instant,
    heartbeat: Instant,
}

/// What is to be done for a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Tell,
    Beat,
    Wait(Instant),
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            told: None,
            not_before: now,
            heartbeat: now + HEARTBEAT,
        }
    }

    fn step(&mut self, version: u32, now: Instant) -> Step {
        let news = self.told != Some(version);
        let step = match news {
            true if now >= self.not_before => Step::Tell,
            true => return Step::Wait(self.not_before),
            false if now >= self.heartbeat => Step::Beat,
            false => return Step::Wait(self.heartbeat),
        };
        self.told = Some(version);
        self.not_before = now + PAUSE;
        self.heartbeat = now + HEARTBEAT;
        step
    }
}

/// The stream of one listener, in the format of server-sent events (HTML, 9.2.5).
struct Listener {
    live: Rc<Live>,
    place: usize,
    pace: Pace,
    timer: Timer,
}

impl Stream for Listener {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let this = &mut *self;
        loop {
            let now = Instant::now();
            this.live.expire(now);
            match this.pace.step(this.live.version.get(), now) {
                Step::Tell => return Poll::Ready(Some(this.live.event().into_bytes())),
                Step::Beat => return Poll::Ready(Some(b":\n\n".to_vec())),
                Step::Wait(until) => this.timer = Timer::at(until),
            }
            this.live.listeners.borrow_mut()[this.place] = Some(context.waker().clone());
            if Pin::new(&mut this.timer).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.live.listeners.borrow_mut()[self.place] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_millis(milliseconds)
    }

    fn report(player: u64, name: &str, score: u32) -> Report {
        let body = format!(r#"{{"player":{player},"name":"{name}","score":{score}}}"#);
        Report::parse(body.as_bytes()).expect("a good report")
    }

    fn names(live: &Live) -> Vec<String> {
        let players = live.players.borrow();
        players
            .iter()
            .map(|player| player.name.as_str().into())
            .collect()
    }

    #[test]
    fn the_best_come_first_under_numbers_of_their_own() {
        let live = Live::default();
        assert_eq!(
            live.event(),
            "data: {\"players\":[],\"count\":0,\"scores\":0}\n\n"
        );
        assert_eq!(live.report(report(77, "a", 8), at(0)), Ok(1));
        assert_eq!(live.report(report(78, "b", 16), at(0)), Ok(2));
        assert_eq!(live.report(report(77, "a", 12), at(0)), Ok(1));
        live.scores_changed();
        assert_eq!(
            live.event(),
            "data: {\"players\":[{\"player\":2,\"name\":\"b\",\"score\":16},\
             {\"player\":1,\"name\":\"a\",\"score\":12}],\"count\":2,\"scores\":1}\n\n"
        );
        assert!(!live.event().contains("77"), "the secret stays one");
    }

    #[test]
    fn players_are_bounded_and_leave() {
        let live = Live::default();
        for player in 0..MAX_PLAYERS as u64 {
            live.report(report(player, "a", 8), at(player))
                .expect("there is room");
        }
        assert_eq!(
            live.report(report(1000, "late", 8), at(100)),
            Err(Refusal::Crowded)
        );
        assert!(live.report(report(5, "five", 12), at(40_000)).is_ok());
        assert_eq!(live.players.borrow().len(), MAX_PLAYERS);
        assert!(live.event().len() < 2000, "an event stays small");
        let version = live.version.get();
        live.expire(at(46_000));
        assert_eq!(names(&live), ["five"]);
        assert_ne!(live.version.get(), version, "listeners hear of it");
    }

    #[test]
    fn what_says_nothing_new_is_no_news() {
        let live = Live::default();
        live.report(report(1, "a", 8), at(0))
            .expect("there is room");
        let version = live.version.get();
        live.report(report(1, "a", 8), at(1000))
            .expect("there is room");
        assert_eq!(live.version.get(), version);
        live.report(report(1, "b", 8), at(1000))
            .expect("there is room");
        assert_ne!(live.version.get(), version);
    }

    #[test]
    fn forged_reports() {
        let malformed = [
            "",
            "{}",
            "[]",
            "null",
            r#"{"player":1,"name":"a"}"#,
            r#"{"player":-1,"name":"a","score":1}"#,
            r#"{"player":1,"name":"a","score":4294967296}"#,
            r#"{"player":1,"name":"a","score":1.5}"#,
            r#"{"player":"1","name":"a","score":1}"#,
            r#"{"player":1,"name":"a","score":1,"best":1}"#,
            r#"{"player":1,"name":"a","score":1}}"#,
        ];
        for body in malformed {
            assert_eq!(
                Report::parse(body.as_bytes()),
                Err(Refusal::Malformed),
                "{body}"
            );
        }
        let impossible = format!(r#"{{"player":1,"name":"a","score":{}}}"#, MAX_SCORE + 1);
        assert_eq!(
            Report::parse(impossible.as_bytes()),
            Err(Refusal::ImpossibleScore)
        );
    }

    #[test]
    fn listeners_are_told_at_a_pace() {
        let mut pace = Pace::new(at(0));
        assert_eq!(pace.step(7, at(0)), Step::Tell, "how things are");
        assert_eq!(pace.step(7, at(1)), Step::Wait(at(15_000)));
        assert_eq!(pace.step(8, at(100)), Step::Wait(at(500)));
        assert_eq!(pace.step(99, at(500)), Step::Tell, "all in one");
        assert_eq!(pace.step(99, at(15_499)), Step::Wait(at(15_500)));
        assert_eq!(pace.step(99, at(15_500)), Step::Beat);
        assert_eq!(pace.step(99, at(15_501)), Step::Wait(at(30_500)));
    }

    #[test]
    fn places_of_listeners_are_used_again() {
        let live = Rc::new(Live::default());
        for _ in 0..100 {
            let first = live.clone().listen();
            let second = live.clone().listen();
            drop((first, second));
        }
        assert_eq!(live.listeners.borrow().len(), 2);
        assert!(live.listeners.borrow().iter().all(Option::is_none));
    }
}
