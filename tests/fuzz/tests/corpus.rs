//! Plays what fuzzers have found, the same with changes, and scripts by chance: what a plain `cargo test` has of the fuzzers.
//! A new input that a fuzzer finds belongs into `corpus/TARGET`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use landfall_fuzz::TARGETS;

/// How long each target is played with what nobody has thought of.
const PATIENCE: Duration = Duration::from_secs(2);

/// A seeded source of numbers (a linear congruential generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Half of them are small, as most numbers are that mean something.
    fn byte(&mut self) -> u8 {
        match self.below(2) {
            0 => self.below(256) as u8,
            _ => self.below(16) as u8,
        }
    }

    fn script(&mut self) -> Vec<u8> {
        (0..self.below(1000)).map(|_| self.byte()).collect()
    }

    /// Changes a few bytes, or leaves some out, or doubles some.
    fn change(&mut self, script: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            let at = self.below(script.len() + 1);
            match self.below(4) {
                0 => script.insert(at, self.byte()),
                1 if at < script.len() => drop(script.remove(at)),
                2 => script.extend_from_within(at..(at + 20).min(script.len())),
                _ if at < script.len() => script[at] = self.byte(),
                _ => {}
            }
        }
    }
}

/// Returns the files of a corpus, by name.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("the folder can be read").path())
        .collect();
    files.sort();
    files
}

/// Plays a target; the last that is printed is what failed.
fn play(target: &str) {
    let (_, play) = TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("there is one of this name");
    play(&[]);
    let files = corpus(target);
    assert!(!files.is_empty(), "{target} has no corpus");
    let mut scripts = Vec::new();
    for file in files {
        println!("{}", file.display());
        let script = fs::read(file).expect("a file can be read");
        play(&script);
        scripts.push(script);
    }
    let end = Instant::now() + PATIENCE;
    for seed in 0.. {
        if Instant::now() >= end {
            println!("{seed} seeds");
            break;
        }
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut script = match seed % 4 {
            0 => random.script(),
            _ => scripts[random.below(scripts.len())].clone(),
        };
        random.change(&mut script);
        play(&script);
    }
}

macro_rules! targets {
    ($($target:ident)+) => {
        $(
            #[test]
            fn $target() {
                play(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_played() {
            let names = TARGETS.map(|(name, _)| name);
            assert_eq!(names, [$(stringify!($target)),+]);
        }
    };
}

targets! {
    boot_arguments console device_tree http ip_stack netfront_receive netfront_transmit score_api virtio_net xenstore
}
