//! Hand-written cases: the rules as a player would put them.

use game_2048::{Board, BoardError, Cell, Direction, Game, Outcome, ReplayError, State};

fn board(rows: [[u8; 4]; 4]) -> Board {
    Board::from_rows(rows).expect("exponents in range")
}

/// Slides the top row to the left and returns it with the points.
fn slide_left(row: [u8; 4]) -> Option<([u8; 4], u32)> {
    let slide = board([row, [0; 4], [0; 4], [0; 4]]).slide(Direction::Left)?;
    let [a, b, c, d, ..] = *slide.board.exponents();
    Some(([a, b, c, d], slide.points))
}

#[test]
fn rows_slide_and_merge() {
    for (before, after) in [
        ([0, 0, 0, 1], ([1, 0, 0, 0], 0)),
        ([0, 2, 0, 1], ([2, 1, 0, 0], 0)),
        ([1, 1, 0, 0], ([2, 0, 0, 0], 4)),
        ([1, 0, 0, 1], ([2, 0, 0, 0], 4)),
        // Three of a kind: the pair nearest to the edge.
        ([1, 1, 1, 0], ([2, 1, 0, 0], 4)),
        ([0, 1, 1, 1], ([2, 1, 0, 0], 4)),
        // Two pairs make two tiles, not one.
        ([1, 1, 1, 1], ([2, 2, 0, 0], 8)),
        // A merged tile does not merge again.
        ([1, 1, 2, 0], ([2, 2, 0, 0], 4)),
        ([2, 1, 1, 0], ([2, 2, 0, 0], 4)),
        ([1, 1, 2, 3], ([2, 2, 3, 0], 4)),
        ([10, 10, 0, 5], ([11, 5, 0, 0], 2048)),
    ] {
        assert_eq!(slide_left(before), Some(after), "{before:?}");
    }
}

#[test]
fn rows_that_cannot_move() {
    for row in [
        [0; 4],
        [1, 0, 0, 0],
        [1, 2, 0, 0],
        [1, 2, 1, 2],
        [4, 3, 2, 1],
    ] {
        assert_eq!(slide_left(row), None, "{row:?}");
    }
}

#[test]
fn each_direction_on_one_board() {
    let before = board([[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 2]]);
    let after = |direction| before.slide(direction).expect("it changes").board;
    let empty = [0; 4];
    assert_eq!(
        after(Direction::Left),
        board([[2, 0, 0, 0], empty, empty, [1, 2, 0, 0]])
    );
    assert_eq!(
        after(Direction::Right),
        board([[0, 0, 0, 2], empty, empty, [0, 0, 1, 2]])
    );
    assert_eq!(
        after(Direction::Up),
        board([[2, 0, 0, 1], [0, 0, 0, 2], empty, empty])
    );
    assert_eq!(
        after(Direction::Down),
        board([empty, empty, [0, 0, 0, 1], [2, 0, 0, 2]])
    );
}

#[test]
fn a_slide_tells_the_way_of_each_tile() {
    let slide = board([[0, 1, 1, 3], [0; 4], [0; 4], [0; 4]])
        .slide(Direction::Left)
        .expect("it changes");
    let ways: Vec<_> = slide
        .tiles
        .iter()
        .map(|tile| (tile.from.column, tile.to.column, tile.exponent, tile.merged))
        .collect();
    assert_eq!(ways, [(1, 0, 1, true), (2, 0, 1, true), (3, 1, 3, false)]);
}

#[test]
fn a_full_board_without_neighbours_is_over() {
    let checkered = board([[1, 2, 1, 2], [2, 1, 2, 1], [1, 2, 1, 2], [2, 1, 2, 1]]);
    let mut game = Game::with_board(checkered, 0);
    assert_eq!(game.state(), State::Over);
    for direction in Direction::ALL {
        assert_eq!(game.play(direction), Outcome::Unchanged);
    }
    assert_eq!(game.moves(), 0);
}

#[test]
fn a_full_board_with_one_pair_goes_on() {
    let one_pair = board([[1, 2, 1, 2], [2, 1, 2, 1], [1, 2, 1, 2], [2, 1, 2, 2]]);
    assert_eq!(Game::with_board(one_pair, 0).state(), State::Playing);
}

#[test]
fn reaching_2048_wins_and_the_game_goes_on() {
    let mut game = Game::with_board(board([[10, 10, 0, 0], [0; 4], [0; 4], [0; 4]]), 7);
    assert_eq!(game.state(), State::Playing);
    assert!(matches!(game.play(Direction::Left), Outcome::Moved(_)));
    assert_eq!((game.state(), game.score()), (State::Won, 2048));
    assert!(matches!(game.play(Direction::Right), Outcome::Moved(_)));
    assert_eq!(game.state(), State::Won);
}

/// If this fails, games that players have stored no longer open: see `random.rs`.
#[test]
fn a_recorded_game_stays_the_same() {
    let game = Game::replay(2048, b"lurdlurdluldlulr").map(|game| (*game.board(), game.score()));
    let rows = [[0, 1, 3, 1], [0, 1, 0, 4], [0, 0, 3, 1], [0, 0, 0, 0]];
    assert_eq!(game, Ok((board(rows), 72)));
}

/// A whole game to 2048, which the page's tests can plant in the browser as well.
#[test]
fn a_recorded_game_wins_with_its_last_move() {
    let record = include_bytes!("records/seed-0.txt");
    let game = Game::replay(0, record).expect("a sound record");
    assert_eq!(
        (game.state(), game.moves(), game.score()),
        (State::Won, 954, 20244)
    );
    let before = Game::replay(0, &record[..record.len() - 1]).expect("a sound record");
    assert_eq!(before.state(), State::Playing);
}

#[test]
fn forged_records_are_refused_with_a_reason() {
    assert_eq!(Game::replay(1, b""), Ok(Game::new(1)));
    let error = ReplayError::NotAMove {
        at: 0,
        letter: b'X',
    };
    assert_eq!(Game::replay(1, b"X"), Err(error));
    assert_eq!(
        error.to_string(),
        "move 0: 'X' is not a direction (u, r, d or l)"
    );
    // The same slide again and again soon changes nothing.
    let refused = Game::replay(1, &[b'l'; 100]).expect_err("nobody slides left 100 times");
    assert!(matches!(
        refused,
        ReplayError::Impossible {
            direction: Direction::Left,
            ..
        }
    ));
    assert!(
        refused
            .to_string()
            .ends_with("Left does not change the board"),
        "{refused}"
    );
}

#[test]
fn a_tile_out_of_range_is_refused() {
    let refused = Board::from_rows([[0; 4], [0, 0, 18, 0], [0; 4], [0; 4]]);
    let error = BoardError {
        cell: Cell { row: 1, column: 2 },
        exponent: 18,
    };
    assert_eq!(refused, Err(error));
    assert_eq!(
        error.to_string(),
        "exponent 18 in row 1, column 2 is above 17"
    );
}
