//! Vitest's JSON, which is Jest's.

use std::path::Path;

use serde::Deserialize;

use super::{Failure, Outcome, Tests, relative};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    test_results: Vec<File>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    name: String,
    status: String,
    message: String,
    assertion_results: Vec<Test>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Test {
    full_name: String,
    status: String,
    failure_messages: Vec<String>,
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Location {
    line: u64,
}

pub(super) fn parsed(json: &str, folder: &Path) -> Tests {
    let report: Report = serde_json::from_str(json).unwrap_or_default();
    let mut tests = Tests::default();
    for file in report.test_results {
        let path = relative(&file.name, folder);
        let any_failed = file
            .assertion_results
            .iter()
            .any(|test| test.status == "failed");
        // A file that could not even be loaded has no tests that could fail.
        if file.status == "failed" && !any_failed {
            let failure = Failure {
                name: path.clone(),
                file: Some(path.clone()),
                line: None,
                message: file.message,
            };
            tests.count(Some(&path), Outcome::Failed(failure));
        }
        for test in file.assertion_results {
            let outcome = match &*test.status {
                "passed" => Outcome::Passed,
                "failed" => Outcome::Failed(Failure {
                    name: test.full_name,
                    file: Some(path.clone()),
                    line: test.location.map(|location| location.line),
                    message: test.failure_messages.join("\n"),
                }),
                _ => Outcome::Skipped,
            };
            tests.count(Some(&path), outcome);
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_vitest() {
        let json = r#"{"numTotalTests":3,"success":false,"testResults":[
            {"name":"/p/a.test.ts","status":"failed","message":"","assertionResults":[
                {"fullName":"sum adds","status":"passed","failureMessages":[]},
                {"fullName":"sum fails","status":"failed","failureMessages":["\u001b[31mexpected 1 to be 2\u001b[0m"],"location":{"line":7,"column":2}},
                {"fullName":"later","status":"todo","failureMessages":[]}]},
            {"name":"/p/broken.test.ts","status":"failed","message":"no such module","assertionResults":[]}]}"#;
        let tests = parsed(json, Path::new("/p"));
        assert_eq!((tests.passed, tests.failed, tests.skipped), (1, 2, 1));
        let failure = &tests.failures[0];
        assert_eq!(
            (&*failure.name, failure.file.as_deref(), failure.line),
            ("sum fails", Some("a.test.ts"), Some(7))
        );
        assert_eq!(failure.message, "expected 1 to be 2");
        assert_eq!(tests.failures[1].message, "no such module");
        assert_eq!(parsed("{", Path::new("/p")), Tests::default());
    }
}
