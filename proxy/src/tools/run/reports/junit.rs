//! JUnit's XML, as pytest and many others write it. Document types are refused by the parser, and with them entities that grow.

use std::path::Path;

use roxmltree::{Document, Node};

use super::{Failure, Outcome, Tests, relative};

pub(super) fn parsed(xml: &str, folder: &Path) -> Tests {
    let mut tests = Tests::default();
    let Ok(document) = Document::parse(xml) else {
        return tests;
    };
    for test in document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
    {
        let file = test.attribute("file").map(|file| relative(file, folder));
        let child = |name| test.children().find(move |child| child.has_tag_name(name));
        let outcome = match (
            child("failure").or_else(|| child("error")),
            child("skipped"),
        ) {
            (Some(fault), _) => Outcome::Failed(failure(test, fault, file.clone())),
            (None, Some(_)) => Outcome::Skipped,
            (None, None) => Outcome::Passed,
        };
        tests.count(file.as_deref(), outcome);
    }
    tests
}

fn failure(test: Node<'_, '_>, fault: Node<'_, '_>, file: Option<String>) -> Failure {
    let group = test
        .attribute("classname")
        .filter(|group| !group.is_empty());
    let name = test.attribute("name").unwrap_or("?");
    let short = fault.attribute("message").unwrap_or_default();
    let long = fault.text().unwrap_or_default().trim();
    Failure {
        name: group.map_or_else(|| name.to_owned(), |group| format!("{group}::{name}")),
        file,
        line: test.attribute("line").and_then(|line| line.parse().ok()),
        message: match long.is_empty() {
            true => short.to_owned(),
            false => long.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_pytest() {
        let xml = r#"<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="4">
            <testcase classname="test_a" name="test_one" file="/p/test_a.py" line="3" time="0.1"/>
            <testcase classname="test_a" name="test_two"><failure message="assert 1 == 2">def test_two():
E  assert 1 == 2</failure></testcase>
            <testcase classname="test_a" name="test_three"><skipped message="later"/></testcase>
            <testcase classname="" name="test_b"><error message="cannot import"/></testcase>
            </testsuite></testsuites>"#;
        let tests = parsed(xml, Path::new("/p"));
        assert_eq!((tests.passed, tests.failed, tests.skipped), (1, 2, 1));
        assert_eq!(tests.files[0].path, "test_a.py");
        assert_eq!(tests.failures[0].name, "test_a::test_two");
        assert_eq!(
            (&*tests.failures[1].name, &*tests.failures[1].message),
            ("test_b", "cannot import")
        );
    }

    #[test]
    fn a_document_that_explodes_is_no_report() {
        let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>"#;
        assert_eq!(parsed(bomb, Path::new("/")), Tests::default());
        assert_eq!(parsed("", Path::new("/")), Tests::default());
    }
}
