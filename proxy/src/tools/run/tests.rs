//! Runners are little scripts here; `cargo xtask real-runners` has the real ones.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    auth::Principal,
    config::{Config, Source},
    sandbox::Folder,
    tools::Progress,
};

fn workshop(folder: &Folder, tests: &str) -> Arc<Workshop> {
    let text = format!(
        "[tools]\nroots = [{:?}]\nallow = [\"exec\"]\n{tests}",
        folder.path()
    );
    Workshop::new(&Config::alone(&Source::new("rungs.toml", text)).unwrap())
}

async fn run_in(folder: &Folder, tests: &str, chosen: Selection) -> Result<Output, Error> {
    let caller = Caller::new(Principal::local());
    run(&workshop(folder, tests), &caller, "it", chosen).await
}

fn sh(script: &str, more: &str) -> String {
    format!("[tools.tests.it]\nargv = [\"/bin/sh\", \"-c\", {script:?}, \"it\"]\n{more}\n")
}

#[tokio::test]
async fn what_a_runner_reports_comes_back_and_progress_with_it() {
    let folder = Folder::new();
    let script = "echo test a::works ... ok; echo test b ... FAILED; printf -- '---- b stdout ----\\nwrong\\n'; exit 101";
    let (progress, mut heard) = Progress::heard();
    let mut caller = Caller::new(Principal::local());
    caller.progress = progress;
    let workshop = workshop(&folder, &sh(script, "reporter = \"cargo\""));
    let output = run(&workshop, &caller, "it", Selection::default())
        .await
        .unwrap();
    assert_eq!(
        (output.success, output.ended, output.status),
        (false, "exited", Some(101))
    );
    assert_eq!((output.passed, output.failed), (1, 1));
    assert_eq!(
        (&*output.failures[0].name, &*output.failures[0].message),
        ("b", "wrong")
    );
    assert!(output.said.contains("FAILED"));
    let first = heard.recv().await.unwrap();
    assert_eq!((first.done, &*first.message), (1.0, "test a::works ... ok"));
}

#[tokio::test]
async fn a_report_is_read_from_the_runners_own_folder() {
    let folder = Folder::new();
    let report = r#"<testsuite><testcase name="t"/><testcase name="u"><failure message="no"/></testcase></testsuite>"#;
    folder.write("report.xml", report);
    let output = run_in(
        &folder,
        &sh("cp report.xml $TMPDIR/junit.xml", "reporter = \"junit\""),
        Selection::default(),
    )
    .await
    .unwrap();
    assert_eq!(
        (output.success, output.passed, output.failed),
        (false, 1, 1)
    );
    // A report that leads elsewhere is none.
    let output = run_in(
        &folder,
        &sh(
            "ln -s /etc/passwd $TMPDIR/junit.xml",
            "reporter = \"junit\"",
        ),
        Selection::default(),
    )
    .await
    .unwrap();
    assert_eq!((output.passed, output.failed), (0, 0));
}

#[tokio::test]
async fn tests_change_what_they_may_and_nothing_else() {
    let folder = Folder::new();
    folder.write("target/x", "");
    folder.write(".git/config", "");
    let script = "echo x > target/new && ! echo x > .git/hook && ! echo x > new";
    let output = run_in(
        &folder,
        &sh(script, "writable = [\"target\"]"),
        Selection::default(),
    )
    .await
    .unwrap();
    assert!(output.success, "{output:?}");
    assert!(folder.path().join("target/new").exists());
    std::os::unix::fs::symlink(".git", folder.path().join("link")).unwrap();
    let linked = run_in(
        &folder,
        &sh("true", "writable = [\"link\"]"),
        Selection::default(),
    )
    .await;
    assert!(linked.is_err(), "{linked:?}");
}

#[tokio::test]
async fn who_takes_too_long_is_ended() {
    let folder = Folder::new();
    let output = run_in(
        &folder,
        &sh("sleep 60", "limits = { seconds = 1 }"),
        Selection::default(),
    )
    .await
    .unwrap();
    assert_eq!(
        (output.success, output.ended, output.status),
        (false, "timed_out", None)
    );
}

#[tokio::test]
async fn an_unknown_runner_is_named() {
    let folder = Folder::new();
    let caller = Caller::new(Principal::local());
    let error = run(
        &workshop(&folder, ""),
        &caller,
        "vitst",
        Selection::default(),
    )
    .await
    .unwrap_err();
    assert!(
        error.message().contains("[tools.tests.vitst]") && error.message().contains("vitest"),
        "{error}"
    );
}

#[test]
fn what_a_client_chooses_is_never_an_option() {
    use crate::config::Reporter;
    let chosen = |files: &[&str], name: Option<&str>| Selection {
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        name: name.map(str::to_owned),
    };
    let words =
        reports::selection(Reporter::Vitest, &chosen(&["a/b.test.ts"], Some("adds"))).unwrap();
    assert_eq!(words, ["-t", "adds", "a/b.test.ts"]);
    for (files, name) in [
        (&["--config=/tmp/x.js"][..], None),
        (&["-c"], None),
        (&["./--config=evil.ts"], None),
        (&["././-pevil"], None),
        (&["../x"], None),
        (&["/etc/passwd"], None),
        (&[], Some("--globalSetup=x")),
        (&[], Some("a\nb")),
        (&[], Some("")),
    ] {
        for reporter in [
            Reporter::Vitest,
            Reporter::Playwright,
            Reporter::Pytest,
            Reporter::Cargo,
        ] {
            assert!(
                reports::selection(reporter, &chosen(files, name)).is_err(),
                "{files:?} {name:?}"
            );
        }
    }
    assert!(reports::selection(Reporter::Exit, &chosen(&[], Some("x"))).is_err());
}

#[test]
fn a_selection_says_what_it_takes() {
    let wrong: Result<Selection, _> = serde_json::from_value(json!({ "argv": ["rm"] }));
    assert!(wrong.is_err());
}
