//! The lines of Rust's own test programs.

use std::collections::HashMap;

use super::{Failure, Outcome, Tests};

pub(super) fn parsed(text: &str) -> Tests {
    let mut tests = Tests::default();
    let mut messages = messages(text);
    for line in text.lines() {
        let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.rsplit_once(" ... "))
        else {
            continue;
        };
        let outcome = match outcome.split([',', ' ']).next() {
            Some("ok") => Outcome::Passed,
            Some("ignored") => Outcome::Skipped,
            Some("FAILED") => Outcome::Failed(Failure {
                name: name.to_owned(),
                message: messages.remove(name).unwrap_or_default(),
                ..Failure::default()
            }),
            _ => continue,
        };
        tests.count(None, outcome);
    }
    tests
}

/// What failed tests have said: under a line with their name, up to the next.
fn messages(text: &str) -> HashMap<&str, String> {
    let mut messages: HashMap<&str, String> = HashMap::new();
    let mut name = None;
    for line in text.lines() {
        let heading = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        match (heading, name) {
            (Some(heading), _) => name = Some(heading),
            (None, _) if line == "failures:" || line.starts_with("test result:") => name = None,
            (None, Some(name)) => {
                let message = messages.entry(name).or_default();
                message.push_str(line);
                message.push('\n');
            }
            (None, None) => {}
        }
    }
    messages
        .values_mut()
        .for_each(|message| *message = message.trim().to_owned());
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_test_program() {
        let said = "
running 3 tests
test a::works ... ok
test a::fails ... FAILED
test slow ... ignored, takes long

failures:

---- a::fails stdout ----

thread 'a::fails' panicked at src/lib.rs:3:9:
left != right

failures:
    a::fails

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let tests = parsed(said);
        assert_eq!((tests.passed, tests.failed, tests.skipped), (1, 1, 1));
        assert_eq!(tests.failures[0].name, "a::fails");
        assert!(
            tests.failures[0].message.ends_with("left != right"),
            "{}",
            tests.failures[0].message
        );
    }
}
