//! What holds for every board and every game.

use game_2048::board::{CELLS, value};
use game_2048::{Board, Cell, Direction, Game, Outcome, Replay, Slide};
use proptest::collection::vec;
use proptest::prelude::*;

/// Boards of every kind: sparse, crowded with equal tiles, or anything.
fn boards() -> impl Strategy<Value = Board> {
    let cell = prop_oneof![3 => Just(0u8), 4 => 1u8..=3, 2 => 1u8..=17];
    let crowded = prop_oneof![1u8..=2, 1u8..=4];
    let row = |cell: BoxedStrategy<u8>| prop::array::uniform4(prop::array::uniform4(cell));
    prop_oneof![row(cell.boxed()), row(crowded.boxed())]
        .prop_map(|rows| Board::from_rows(rows).expect("exponents in range"))
}

fn directions() -> impl Strategy<Value = Direction> {
    prop::sample::select(&Direction::ALL[..])
}

/// Returns the exponents of the board turned clockwise by a quarter.
fn turned(board: &Board) -> [[u8; 4]; 4] {
    let mut rows = [[0; 4]; 4];
    for (row, column) in cells() {
        let from = Cell {
            row: 3 - column,
            column: row,
        };
        rows[usize::from(row)][usize::from(column)] = board.exponent(from);
    }
    rows
}

fn cells() -> impl Iterator<Item = (u8, u8)> {
    (0..4).flat_map(|row| (0..4).map(move |column| (row, column)))
}

/// Returns the direction a quarter clockwise of this one.
fn clockwise(direction: Direction) -> Direction {
    match direction {
        Direction::Up => Direction::Right,
        Direction::Right => Direction::Down,
        Direction::Down => Direction::Left,
        Direction::Left => Direction::Up,
    }
}

/// Returns the letters of the moves that changed the board, and the game after them.
fn record(seed: u64, wanted: &[Direction]) -> (Vec<u8>, Game) {
    let mut game = Game::new(seed);
    let mut changes = |direction: &Direction| game.play(*direction) != Outcome::Unchanged;
    let made = wanted
        .iter()
        .copied()
        .filter(|direction| changes(direction));
    let letters = made.map(Direction::letter).collect();
    (letters, game)
}

/// Builds the board that the ways of the tiles lead to.
fn board_from_ways(slide: &Slide) -> [u8; CELLS] {
    let mut exponents = [0; CELLS];
    for tile in slide.tiles.iter() {
        exponents[tile.to.index()] = tile.exponent + u8::from(tile.merged);
    }
    exponents
}

proptest! {
    #[test]
    fn a_slide_conserves_the_sum(board in boards(), direction in directions()) {
        if let Some(slide) = board.slide(direction) {
            prop_assert_eq!(slide.board.sum(), board.sum());
        }
    }

    #[test]
    fn a_slide_is_none_exactly_if_nothing_moves(board in boards(), direction in directions()) {
        // Something moves if and only if a tile has before it an empty cell or an equal tile.
        let (rows, columns) = match direction {
            Direction::Up => (-1, 0),
            Direction::Right => (0, 1),
            Direction::Down => (1, 0),
            Direction::Left => (0, -1),
        };
        let before = |row: u8, column: u8| {
            let cell = Cell {
                row: row.checked_add_signed(rows).filter(|row| *row < 4)?,
                column: column.checked_add_signed(columns).filter(|column| *column < 4)?,
            };
            Some(board.exponent(cell))
        };
        let moves = cells().any(|(row, column)| {
            let exponent = board.exponent(Cell { row, column });
            exponent != 0
                && before(row, column).is_some_and(|next| next == 0 || next == exponent)
        });
        prop_assert_eq!(board.slide(direction).is_some(), moves);
    }

    #[test]
    fn each_tile_moves_once_and_merges_at_most_once(board in boards(), direction in directions()) {
        let Some(slide) = board.slide(direction) else { return Ok(()) };
        let mut left = [false; CELLS];
        let mut arrived = [0; CELLS];
        for tile in slide.tiles.iter() {
            prop_assert_eq!(board.exponent(tile.from), tile.exponent);
            prop_assert!(!std::mem::replace(&mut left[tile.from.index()], true));
            arrived[tile.to.index()] += 1;
            let expected = tile.exponent + u8::from(tile.merged);
            prop_assert_eq!(slide.board.exponent(tile.to), expected);
        }
        for tile in slide.tiles.iter() {
            prop_assert_eq!(arrived[tile.to.index()], if tile.merged { 2 } else { 1 });
        }
        let tiles = board.exponents().iter().filter(|exponent| **exponent != 0).count();
        prop_assert_eq!(slide.tiles.len(), tiles);
        prop_assert_eq!(&board_from_ways(&slide), slide.board.exponents());
    }

    #[test]
    fn points_are_the_merged_tiles(board in boards(), direction in directions()) {
        if let Some(slide) = board.slide(direction) {
            let merged = slide.tiles.iter().filter(|tile| tile.merged);
            // Two old tiles for each new one: together they are worth as much.
            let worth: u32 = merged.map(|tile| value(tile.exponent)).sum();
            prop_assert_eq!(slide.points, worth);
        }
    }

    #[test]
    fn tiles_come_to_rest_without_gaps(board in boards(), direction in directions()) {
        // After a slide, another in the same direction only merges: it finds no gap to close.
        let rested = board.slide(direction).map_or(board, |slide| slide.board);
        if let Some(again) = rested.slide(direction) {
            prop_assert!(again.points > 0);
        }
    }

    #[test]
    fn directions_are_rotations_of_one_another(board in boards(), direction in directions()) {
        let turned_board = Board::from_rows(turned(&board)).expect("exponents in range");
        match (board.slide(direction), turned_board.slide(clockwise(direction))) {
            (Some(slide), Some(slide_turned)) => {
                prop_assert_eq!(slide.points, slide_turned.points);
                let expected = turned(&slide.board);
                prop_assert_eq!(expected.as_flattened(), slide_turned.board.exponents());
            }
            (slide, slide_turned) => prop_assert_eq!(slide, slide_turned),
        }
    }

    #[test]
    fn over_is_exactly_no_move_left(board in boards(), seed: u64) {
        let game = Game::with_board(board, seed);
        let stuck = Direction::ALL.into_iter().all(|direction| {
            let mut trial = game;
            trial.play(direction) == Outcome::Unchanged && trial == game
        });
        prop_assert_eq!(game.is_over(), stuck);
    }

    #[test]
    fn a_new_game_has_two_tiles(seed: u64) {
        let game = Game::new(seed);
        prop_assert_eq!(game.board().empty_cells().count(), CELLS - 2);
        prop_assert!(game.board().exponents().iter().all(|exponent| *exponent <= 2));
        prop_assert_eq!((game.score(), game.moves(), game.is_won()), (0, 0, false));
    }

    #[test]
    fn a_tile_comes_after_a_change_only_and_into_an_empty_cell(
        seed: u64,
        wanted in vec(directions(), 0..300),
    ) {
        let mut game = Game::new(seed);
        let (mut points, mut moves) = (0, 0);
        for direction in wanted {
            let before = game;
            let slide = before.board().slide(direction);
            match (game.play(direction), slide) {
                (Outcome::Unchanged, None) => prop_assert_eq!(game, before),
                (Outcome::Moved(turn), Some(slide)) => {
                    let spawned = turn.spawned;
                    prop_assert_eq!(slide.board.exponent(spawned.cell), 0);
                    prop_assert!(matches!(spawned.exponent, 1 | 2));
                    prop_assert_eq!(turn.tiles, slide.tiles);
                    let mut expected = *slide.board.exponents();
                    expected[spawned.cell.index()] = spawned.exponent;
                    prop_assert_eq!(game.board().exponents(), &expected);
                    points += turn.points;
                    moves += 1;
                }
                (outcome, slide) => prop_assert!(false, "{:?} but {:?}", outcome, slide),
            }
            prop_assert_eq!((game.score(), game.moves()), (points, moves));
        }
    }

    #[test]
    fn the_same_seed_and_moves_give_the_same_game(
        seed: u64,
        wanted in vec(directions(), 0..500),
    ) {
        let (letters, played) = record(seed, &wanted);
        prop_assert_eq!(Game::replay(seed, &letters), Ok(played));
    }

    #[test]
    fn a_record_may_be_replayed_in_pieces(
        seed: u64,
        wanted in vec(directions(), 0..300),
        piece in 1_usize..50,
        unknown in 0_usize..400,
    ) {
        let (mut letters, _) = record(seed, &wanted);
        if let Some(letter) = letters.get_mut(unknown) {
            *letter = b'x';
        }
        let mut replay = Replay::new(seed);
        let result = letters.chunks(piece).try_for_each(|letters| replay.advance(letters));
        prop_assert_eq!(result.map(|()| *replay.game()), Game::replay(seed, &letters));
    }

    #[test]
    fn a_record_with_a_pointless_move_is_refused(
        seed: u64,
        wanted in vec(directions(), 1..100),
    ) {
        let (mut letters, game) = record(seed, &wanted);
        let pointless = |direction: &Direction| game.board().slide(*direction).is_none();
        if let Some(direction) = Direction::ALL.into_iter().find(pointless) {
            letters.push(direction.letter());
            prop_assert!(Game::replay(seed, &letters).is_err());
        }
    }

    #[test]
    fn records_of_any_bytes_are_answered(seed: u64, letters in vec(any::<u8>(), 0..200)) {
        let _ = Game::replay(seed, &letters);
    }
}

#[test]
fn a_tenth_of_the_new_tiles_are_fours_and_every_cell_gets_some() {
    let (mut twos, mut fours) = (0u32, 0u32);
    let mut reached = [false; CELLS];
    for seed in 0..5_000 {
        for (index, exponent) in Game::new(seed).board().exponents().iter().enumerate() {
            match exponent {
                0 => continue,
                1 => twos += 1,
                _ => fours += 1,
            }
            reached[index] = true;
        }
    }
    assert_eq!(twos + fours, 10_000);
    assert!((850..=1150).contains(&fours), "{fours} of 10000");
    assert!(reached.into_iter().all(|cell| cell));
}
