//! Plays the fuzzers' scripts, and some thousands by chance, so that a plain `cargo test` covers what
//! the fuzzers do. The scripts are in `fuzz/corpus`; one that a fuzzer finds belongs there.

use std::{fs, path::Path};
use xen_arm::hostile;

/// Scripts by chance, of each kind.
const SCRIPTS: u64 = 1000;

/// Plays all scripts of a fuzzer; the last that is printed is the one that failed.
fn play(fuzzer: &str, play: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(fuzzer);
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be read").path();
        println!("{}", path.display());
        play(&fs::read(path).expect("a script can be read"));
        count += 1;
    }
    assert!(count > 0, "no scripts in {}", folder.display());
    for seed in 0..SCRIPTS {
        println!("seed {seed}");
        play(&by_chance(seed));
    }
}

/// Returns up to 1000 bytes, half of them small, as most numbers are that mean something.
fn by_chance(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let length = next() % 1000;
    let byte = |number: usize| match number & 1 {
        0 => (number >> 1) as u8,
        _ => (number >> 1) as u8 % 16,
    };
    (0..length).map(|_| byte(next())).collect()
}

#[test]
fn netfront_receive() {
    play("netfront_receive", hostile::netfront_receive);
}

#[test]
fn netfront_transmit() {
    play("netfront_transmit", hostile::netfront_transmit);
}

#[test]
fn xenstore() {
    play("xenstore", hostile::xenstore);
}

#[test]
fn console() {
    play("console", hostile::console);
}
