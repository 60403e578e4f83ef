//! The functions that JavaScript calls. One test, because they share the one game of the module.

use page_2048::{MOVED, REFUSED, UNCHANGED, new_game, play, view};

#[test]
fn a_page_plays() {
    assert_eq!(play(0), REFUSED, "no game yet");
    let address = view();
    assert!(!address.is_null());
    new_game(2048, 0);
    assert_eq!(play(4), REFUSED, "no such direction");
    // Left, until it changes nothing.
    let answers: Vec<u32> = (0..100).map(|_| play(3)).collect();
    assert!(answers.contains(&MOVED));
    assert_eq!(answers.last(), Some(&UNCHANGED));
    assert_eq!(view(), address);
}
