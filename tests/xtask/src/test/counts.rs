//! Reading how many tests ran from what test runners print. Their output for programs is unstable (nextest) or needs a
//! nightly compiler (libtest); the one line that is read here has been the same for years, and only the final table
//! depends on it, never the verdict.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ran and passed.
    pub passed: u64,
    /// Ran and failed, or ran out of time.
    pub failed: u64,
    /// Did not run: ignored or filtered out.
    pub skipped: u64,
}

impl Counts {
    /// Takes in one line of a runner's output; lines that are no summary change nothing.
    pub fn observe(&mut self, line: &str) {
        let line = without_colour(line);
        let line = line.trim();
        let numbers = if let Some((_, numbers)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        {
            numbers
        } else if let Some((_, numbers)) = line.strip_prefix("Summary [").and_then(|rest| {
            rest.split_once("run: ")
                .or_else(|| rest.split_once("runs: "))
        }) {
            numbers
        } else {
            return;
        };
        for part in numbers.split([';', ',']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (
                words.next().and_then(|word| word.parse::<u64>().ok()),
                words.next(),
            ) else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" | "timed" | "exec" => self.failed += number,
                "ignored" | "skipped" | "filtered" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The line without terminal colour sequences.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> Counts {
        let mut counts = Counts::default();
        lines.iter().for_each(|line| counts.observe(line));
        counts
    }

    #[test]
    fn reads_cargo_test_and_adds_up() {
        let counts = counted(&[
            "running 5 tests",
            "test a ... ok",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.05s",
        ]);
        assert_eq!(
            counts,
            Counts {
                passed: 6,
                failed: 3,
                skipped: 8
            }
        );
    }

    #[test]
    fn reads_nextest_with_and_without_colour() {
        let plain = "     Summary [   3.183s] 45 tests run: 42 passed (1 slow), 2 failed, 1 timed out, 6 skipped";
        let coloured = "\u{1b}[31;1m     Summary\u{1b}[0m [   3.183s] \u{1b}[1m45\u{1b}[0m tests run: \u{1b}[1m42\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m3\u{1b}[0m \u{1b}[31;1mfailed\u{1b}[0m, \u{1b}[1m6\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m";
        let expected = Counts {
            passed: 42,
            failed: 3,
            skipped: 6,
        };
        assert_eq!(counted(&[plain]), expected);
        assert_eq!(counted(&[coloured]), expected);
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            counted(&["", "Summary of changes: 3 passed", "test result"]),
            Counts::default()
        );
    }
}
