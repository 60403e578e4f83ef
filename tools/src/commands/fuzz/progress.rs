//! How far a fuzzer is, from what libFuzzer prints.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How often the line of progress is renewed, on a terminal and elsewhere.
const ON_TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(30);

/// What begins the line that names an input.
const WRITTEN: &str = "Test unit written to ";

/// What libFuzzer says of itself in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pulse {
    inputs: u64,
    /// Branches that were reached.
    reached: u64,
    kept: String,
}

impl Pulse {
    /// Reads a line such as "#2048\tNEW    cov: 895 ft: 53 corp: 471/61Kb lim: 10 exec/s: 11 rss: 75Mb L: 7/9 …".
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix('#')?.split_whitespace();
        let inputs = words.next()?.parse().ok()?;
        let words: Vec<&str> = words.collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        Some(Self {
            inputs,
            reached: after("cov:")?.parse().ok()?,
            kept: after("corp:")?.split('/').next()?.to_owned(),
        })
    }
}

/// A line of progress.
pub(super) struct Progress {
    name: String,
    time: Duration,
    start: Instant,
    shown: Option<Instant>,
    pulse: Pulse,
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new(name: &str, time: Duration) -> Self {
        Self {
            name: name.to_owned(),
            time,
            start: Instant::now(),
            shown: None,
            pulse: Pulse::default(),
            on_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Reads what libFuzzer prints to its end. What is no progress is shown: a panic, a stack. Returns the input that was
    /// written last, which did harm.
    pub(super) fn follow(&mut self, output: impl Read) -> Result<Option<PathBuf>> {
        let mut harmful = None;
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            if let Some((_, path)) = line.split_once(WRITTEN) {
                harmful = Some(PathBuf::from(path.trim()));
            }
            match Pulse::of_line(&line) {
                Some(pulse) => self.pulse = pulse,
                None if line.starts_with("INFO: ") || line.starts_with('#') => {}
                None => self.pass_on(&line),
            }
            self.renew();
        }
        Ok(harmful)
    }

    /// Shows a line that is no progress. Words that mutations are made of, and a summary of what is counted anyway, are not.
    fn pass_on(&self, line: &str) {
        let is_chatter = line.is_empty()
            || line.starts_with("Done ")
            || line.starts_with('"')
            || line.trim_start().starts_with("NEW_FUNC")
            || line.contains("ecommended dictionary");
        if !is_chatter {
            self.clear();
            eprintln!("{line}");
        }
    }

    fn renew(&mut self) {
        let pause = if self.on_terminal {
            ON_TERMINAL
        } else {
            ELSEWHERE
        };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        match self.on_terminal {
            true => {
                self.clear();
                eprint!("{}", self.line());
                let _unseen = std::io::stderr().flush();
            }
            false => eprintln!("{}", self.line()),
        }
    }

    fn clear(&self) {
        if self.on_terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn line(&self) -> String {
        let (
            name,
            Pulse {
                inputs,
                reached,
                kept,
            },
        ) = (&self.name, &self.pulse);
        let (now, end) = (self.start.elapsed().as_secs(), self.time.as_secs());
        format!(
            "{name}: {now} of {end} s, {inputs} inputs, {kept} kept, {reached} branches reached"
        )
    }

    /// Leaves the last line for good.
    pub(super) fn finish(&self) {
        self.clear();
        println!("{}", self.line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "#2048\tNEW    cov: 895 ft: 5328 corp: 471/61Kb lim: 1012 exec/s: 1119 rss: 758Mb L: 75/922 MS: 1 EraseBytes-";

    #[test]
    fn a_pulse_is_read_from_libfuzzers_lines() {
        let pulse = Pulse::of_line(LINE).expect("a line of progress");
        assert_eq!(
            (pulse.inputs, pulse.reached, &*pulse.kept),
            (2048, 895, "471")
        );
        for line in [
            "",
            "#",
            "#12 READ units: 3",
            "INFO: seed corpus",
            "panicked at",
        ] {
            assert_eq!(Pulse::of_line(line), None, "{line}");
        }
    }

    #[test]
    fn the_harmful_input_is_named() {
        let output = format!(
            "{LINE}\nthread panicked\nartifact_prefix='/x/'; {WRITTEN}/x/crash-12\nBase64: \n"
        );
        let mut progress = Progress::new("ip_stack", Duration::from_secs(60));
        let harmful = progress.follow(output.as_bytes()).expect("it is text");
        assert_eq!(harmful, Some("/x/crash-12".into()));
        assert!(
            progress
                .line()
                .contains("2048 inputs, 471 kept, 895 branches")
        );
    }
}
