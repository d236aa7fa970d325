use std::path::PathBuf;

use super::*;
use crate::sandbox::{Network, Walls};

#[test]
fn what_tools_work_with_has_its_defaults() {
    let tools = load("").tools;
    assert_eq!(tools.roots, None);
    assert_eq!(tools.sandbox, Walls::Required);
    assert_eq!(tools.untrusted, Untrusted::Confirm);
    let trusting = load("[tools]\nuntrusted = \"allow\"").tools;
    assert_eq!(trusting.untrusted, Untrusted::Allow);
    assert!(!tools.changes_files());
    for (name, network) in [("vitest", Network::Off), ("playwright", Network::Loopback)] {
        assert_eq!(tools.tests.get(name).unwrap().network, network);
    }
    assert_eq!(tools.tests.chosen(None).unwrap(), None);
    assert!(load("[tools]\nallow = [\"write\"]").tools.changes_files());
    assert!(
        !load("[tools]\nallow = [\"write\"]\nfs_write = false")
            .tools
            .changes_files()
    );
}

#[test]
fn a_runner_is_read_whole() {
    let text = "[tools]\nroots = [\"a\", \"b\"]\n[tools.tests.unit]\nargv = [\"cargo\", \"test\"]\nreporter = \"cargo\"\nroot = \"b\"\n\
                folder = \"x\"\nnetwork = \"loopback\"\nwritable = [\"target\"]\nlimits = { seconds = 9 }";
    let tools = load(text).tools;
    assert_eq!(
        tools.roots,
        Some(vec![PathBuf::from("a"), PathBuf::from("b")])
    );
    let unit = tools.tests.get("unit").unwrap();
    assert_eq!(
        (unit.reporter, unit.network, unit.limits.seconds),
        (Reporter::Cargo, Network::Loopback, 9)
    );
}

#[test]
fn the_only_runner_of_the_configuration_needs_no_name() {
    const UNIT: &str = "[tools.tests.unit]\nargv = [\"make\", \"check\"]\n";
    let one = load(UNIT).tools.tests;
    assert_eq!(one.chosen(None).unwrap().unwrap().name, "unit");
    assert_eq!(one.chosen(Some("vitest")).unwrap().unwrap().name, "vitest");
    let error = one.chosen(Some("unti")).unwrap_err();
    assert!(error.message().ends_with("did you mean `unit`?"), "{error}");
    let two = load(&format!("{UNIT}[tools.tests.slow]\nargv = [\"make\"]\n"))
        .tools
        .tests;
    let error = two.chosen(None).unwrap_err();
    assert!(
        error.message().contains("name one of slow, unit"),
        "{error}"
    );
    // What is built in may be said anew.
    let own = load("[tools.tests.vitest]\nargv = [\"x\"]\n").tools.tests;
    assert_eq!(own.get("vitest").unwrap().argv, ["x"]);
}

#[test]
fn a_runner_that_cannot_be_is_refused() {
    for (text, fault) in [
        ("argv = []", "`tools.tests.x.argv`: has no program"),
        (
            "argv = [\"x\"]\nwritable = [\".\"]",
            "`tools.tests.x.writable`: is the whole root",
        ),
        ("argv = [\"x\"]\nwritable = [\"../y\"]", "goes up"),
        ("argv = [\"x\"]\nfolder = \"/y\"", "is absolute"),
        (
            "argv = [\"x\"]\nlimits = { seconds = 0 }",
            "must be at least 1",
        ),
        ("argv = [\"x\"]\nreportr = \"cargo\"", "reporter"),
        ("reporter = \"cargo\"", "argv"),
    ] {
        let found = faults(&format!("[tools.tests.x]\n{text}"));
        assert!(
            found.iter().any(|found| found.contains(fault)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn stores_of_tools_are_urls_that_are_never_shown() {
    let tools = load("[tools]\nredis = \"redis://tools:pass-9x@h/1\"\ndatabase = \"postgres://tools:pass-9x@h/d\"").tools;
    assert!(!format!("{tools:?}").contains("pass-9x"));
    for text in [
        "redis = \"http://h\"",
        "database = \"sqlite:x\"",
        "roots = []",
        "schema = \"x\"\ndatabase = \"postgres://h/d\"",
        "dat = \"x\"",
        "untrusted = \"always\"",
    ] {
        assert!(!faults(&format!("[tools]\n{text}")).is_empty(), "{text}");
    }
}

#[test]
fn the_files_of_a_configuration_are_known() {
    let text = format!("{PROVIDER}api_key = {{ file = \"/run/secret\" }}\n");
    assert_eq!(
        load(&text).files,
        [PathBuf::from("/run/secret"), PathBuf::from("rungs.toml")]
    );
}
