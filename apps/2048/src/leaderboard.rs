//! [`Leaderboard`]: the best games, in memory until the machine ends.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter, Write as _};

use crate::json::{Array, OrNull, Quoted};
use crate::name::Name;
use crate::refusal::Refusal;

/// Games that are listed.
pub(crate) const LENGTH: usize = 20;

/// A game on the list. What it takes to copy it, seed and moves, is never published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// Who played.
    pub(crate) name: Name,
    /// Its points.
    pub(crate) score: u32,
    /// Its moves.
    pub(crate) moves: u32,
    /// The largest tile at its end.
    pub(crate) tile: u32,
    /// When it came, in seconds since 1970-01-01 UTC; `None` where no clock said so.
    pub(crate) unix_seconds: Option<u64>,
    /// The seed of its tiles.
    pub(crate) seed: u64,
    /// A fingerprint of its moves.
    pub(crate) record: u64,
}

/// The list, best first; of two equal scores the earlier one.
#[derive(Debug, Default)]
pub(crate) struct Leaderboard {
    entries: Vec<Entry>,
}

impl Leaderboard {
    /// Lists a game if it is among the best; returns its rank from 1 if so.
    ///
    /// One game, which is one seed, has one place for each name: the better score takes it. So a game
    /// can be submitted again after some moves more, and does not fill the list.
    ///
    /// # Errors
    /// When this very record is listed, or a better one of the same game and name.
    pub(crate) fn insert(&mut self, entry: Entry) -> Result<Option<usize>, Refusal> {
        let same_record = |known: &Entry| {
            (known.seed, known.record, known.moves) == (entry.seed, entry.record, entry.moves)
        };
        if self.entries.iter().any(same_record) {
            return Err(Refusal::Known);
        }
        let same_game = |known: &Entry| known.seed == entry.seed && known.name == entry.name;
        if let Some(place) = self.entries.iter().position(same_game) {
            if self.entries[place].score >= entry.score {
                return Err(Refusal::Beaten);
            }
            self.entries.remove(place);
        }
        let place = self
            .entries
            .partition_point(|known| known.score >= entry.score);
        if place >= LENGTH {
            return Ok(None);
        }
        self.entries.insert(place, entry);
        self.entries.truncate(LENGTH);
        Ok(Some(place + 1))
    }

    /// Returns the list as JSON.
    pub(crate) fn json(&self) -> String {
        let mut json = String::new();
        // Writing to a String cannot fail.
        let _ = write!(json, r#"{{"scores":{}}}"#, Array(self.entries.iter()));
        json
    }
}

/// As a JSON object.
impl Display for Entry {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            r#"{{"name":{},"score":{},"moves":{},"tile":{},"unix_seconds":{}}}"#,
            Quoted(self.name.as_str()),
            self.score,
            self.moves,
            self.tile,
            OrNull(self.unix_seconds),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, score: u32, seed: u64) -> Entry {
        Entry {
            name: Name::new(name).expect("a good name"),
            score,
            moves: score / 4,
            tile: 8,
            unix_seconds: None,
            seed,
            record: u64::from(score),
        }
    }

    fn scores(board: &Leaderboard) -> Vec<u32> {
        board.entries.iter().map(|entry| entry.score).collect()
    }

    #[test]
    fn the_best_come_first_and_the_list_ends() {
        let mut board = Leaderboard::default();
        assert_eq!(board.json(), r#"{"scores":[]}"#);
        for number in 0..LENGTH as u32 {
            assert_eq!(
                board.insert(entry("a", 100 + number, number.into())),
                Ok(Some(1))
            );
        }
        assert_eq!(board.insert(entry("b", 50, 1000)), Ok(None));
        assert_eq!(
            board.insert(entry("b", 100, 1001)),
            Ok(None),
            "the earlier one stays"
        );
        assert_eq!(
            board.insert(entry("b", 110, 1002)),
            Ok(Some(11)),
            "behind the earlier one"
        );
        assert_eq!(board.entries.len(), LENGTH);
        assert!(scores(&board).is_sorted_by(|one, other| one >= other));
    }

    #[test]
    fn one_game_has_one_place_for_each_name() {
        let mut board = Leaderboard::default();
        assert_eq!(board.insert(entry("a", 100, 7)), Ok(Some(1)));
        assert_eq!(board.insert(entry("a", 100, 7)), Err(Refusal::Known));
        assert_eq!(
            board.insert(entry("b", 100, 7)),
            Err(Refusal::Known),
            "whoever says so"
        );
        assert_eq!(board.insert(entry("a", 80, 7)), Err(Refusal::Beaten));
        assert_eq!(
            board.insert(entry("b", 80, 7)),
            Ok(Some(2)),
            "another player's"
        );
        assert_eq!(board.insert(entry("a", 120, 7)), Ok(Some(1)));
        assert_eq!(scores(&board), [120, 80]);
    }

    #[test]
    fn what_is_published() {
        let mut board = Leaderboard::default();
        let mut listed = entry("A \"b\"", 8, 7);
        listed.unix_seconds = Some(1_800_000_000);
        board.insert(listed).expect("a new game");
        assert_eq!(
            board.json(),
            r#"{"scores":[{"name":"A \"b\"","score":8,"moves":2,"tile":8,"unix_seconds":1800000000}]}"#
        );
    }
}
