//! Counting: what a test runner's summary line says.

use std::ops::AddAssign;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// The counts in one line of output: zero unless it is the summary of cargo-nextest
    /// or of the standard test harness.
    pub(crate) fn of_line(line: &str) -> Self {
        let line = without_colour(line);
        // nextest shows a failed test's output indented, with the harness's line in it: only a
        // line that begins with the harness's words is a summary of its own.
        if !line.starts_with("test result: ") && !line.trim_start().starts_with("Summary [") {
            return Self::default();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut tally = Self::default();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].trim_start_matches('(').parse::<u64>() else {
                continue;
            };
            match pair[1].trim_end_matches([',', ';']) {
                "passed" => tally.passed += count,
                // nextest also says "1 timed out" and "1 exec failed"
                "failed" | "timed" | "exec" => tally.failed += count,
                _ => {}
            }
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The line without terminal colour sequences (`ESC [ ... m`).
fn without_colour(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(line: &str) -> (u64, u64) {
        let Tally { passed, failed } = Tally::of_line(line);
        (passed, failed)
    }

    #[test]
    fn reads_the_harness_summary() {
        let line =
            "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(counts(line), (5, 2));
    }

    #[test]
    fn reads_the_nextest_summary() {
        let line = "     Summary [   1.2s] 9/12 tests run: 5 passed (1 slow, 2 flaky), 2 failed, 1 exec failed, 1 timed out, 3 skipped";
        assert_eq!(counts(line), (5, 4));
    }

    #[test]
    fn reads_through_colours() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m3\u{1b}[0m tests run: \u{1b}[1m3\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m";
        assert_eq!(counts(line), (3, 0));
    }

    #[test]
    fn counts_nothing_else() {
        assert_eq!(counts("test parses ... ok"), (0, 0));
        assert_eq!(
            counts("    test result: FAILED. 0 passed; 1 failed;"),
            (0, 0)
        );
        assert_eq!(
            counts("        PASS [   0.004s] rungs 7 passed into the body"),
            (0, 0)
        );
    }
}
