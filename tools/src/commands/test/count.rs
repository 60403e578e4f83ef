//! Counting: what cargo's test programs say that passed and failed.

use std::fmt::{Display, Formatter};
use std::ops::AddAssign;

/// How many checks passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// They held.
    pub(super) passed: u32,
    /// They did not hold.
    pub(super) failed: u32,
    /// They were not tried.
    pub(super) skipped: u32,
}

impl Count {
    /// One check that held.
    pub(super) const ONE: Count = Count {
        passed: 1,
        failed: 0,
        skipped: 0,
    };

    /// Reads a line such as "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; …".
    pub(super) fn of_line(line: &str) -> Option<Count> {
        let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |word: &str| {
            let part = numbers
                .split(';')
                .find_map(|part| part.trim().strip_suffix(word))?;
            part.trim().parse().ok()
        };
        Some(Count {
            passed: number("passed")?,
            failed: number("failed")?,
            skipped: number("ignored")?,
        })
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Display for Count {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(formatter, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_cargos_lines() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s";
        assert_eq!(
            Count::of_line(line),
            Some(Count {
                passed: 5,
                failed: 2,
                skipped: 1
            })
        );
        assert_eq!(Count::of_line("test a ... ok"), None);
        assert_eq!(Count::of_line("test result: nonsense"), None);
    }

    #[test]
    fn sums_are_plain_lines() {
        let mut count = Count::ONE;
        count += Count {
            passed: 2,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(count.to_string(), "3 passed, 1 failed");
        count.skipped = 1;
        assert_eq!(count.to_string(), "3 passed, 1 failed, 1 skipped");
    }
}
