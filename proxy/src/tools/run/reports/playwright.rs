//! Playwright's JSON.

use serde::Deserialize;

use super::{Failure, Outcome, Tests};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Report {
    suites: Vec<Suite>,
    errors: Vec<Message>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Suite {
    title: String,
    suites: Vec<Suite>,
    specs: Vec<Spec>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    title: String,
    file: String,
    line: u64,
    tests: Vec<Test>,
}

/// A spec in one of the browsers.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Test {
    project_name: String,
    status: String,
    results: Vec<Try>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Try {
    error: Option<Message>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    message: String,
}

pub(super) fn parsed(json: &str) -> Tests {
    let report: Report = serde_json::from_str(json).unwrap_or_default();
    let mut tests = Tests::default();
    for error in report.errors {
        let failure = Failure {
            name: "before any test".into(),
            message: error.message,
            ..Failure::default()
        };
        tests.count(None, Outcome::Failed(failure));
    }
    for suite in report.suites {
        // The outermost is the file, which each spec names.
        inside(&suite, "", &mut tests);
    }
    tests
}

fn inside(suite: &Suite, group: &str, tests: &mut Tests) {
    for spec in &suite.specs {
        for test in &spec.tests {
            let outcome = match &*test.status {
                "expected" | "flaky" => Outcome::Passed,
                "unexpected" => Outcome::Failed(Failure {
                    name: format!("{group}{}{}", spec.title, browser(test)),
                    file: Some(spec.file.clone()),
                    line: Some(spec.line),
                    message: last_error(test),
                }),
                _ => Outcome::Skipped,
            };
            tests.count(Some(&spec.file), outcome);
        }
    }
    for inner in &suite.suites {
        inside(inner, &format!("{group}{} › ", inner.title), tests);
    }
}

fn browser(test: &Test) -> String {
    match &*test.project_name {
        "" => String::new(),
        name => format!(" [{name}]"),
    }
}

fn last_error(test: &Test) -> String {
    let mut tries = test.results.iter().rev();
    let error = tries.find_map(|result| result.error.as_ref());
    error.map(|error| error.message.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_playwright() {
        let json = r#"{"suites":[{"title":"page.spec.ts","file":"page.spec.ts","specs":[
            {"title":"loads","ok":true,"file":"page.spec.ts","line":3,"tests":[{"projectName":"chromium","status":"expected","results":[{"status":"passed"}]}]}],
            "suites":[{"title":"form","specs":[{"title":"sends","file":"page.spec.ts","line":9,"tests":[
                {"projectName":"chromium","status":"unexpected","results":[{"status":"failed","error":{"message":"first"}},{"status":"failed","error":{"message":"timed out"}}]},
                {"projectName":"firefox","status":"skipped","results":[]}]}]}]}],
            "errors":[],"stats":{"expected":1,"unexpected":1}}"#;
        let tests = parsed(json);
        assert_eq!((tests.passed, tests.failed, tests.skipped), (1, 1, 1));
        let failure = &tests.failures[0];
        assert_eq!(
            (&*failure.name, failure.line, &*failure.message),
            ("form › sends [chromium]", Some(9), "timed out")
        );
        let broken = parsed(r#"{"suites":[],"errors":[{"message":"no browser"}]}"#);
        assert_eq!(
            (broken.failed, &*broken.failures[0].message),
            (1, "no browser")
        );
    }
}
